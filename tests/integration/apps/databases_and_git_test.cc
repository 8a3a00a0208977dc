// sqlite3 with each of its journals, and git.
#include "support/app_fixture.h"

namespace outboxfs {
namespace {

using test::AppCase;
using test::Apps;

TEST_P(Apps, EndsAsOnAPlainDirectory) { RunCase(); }

// Of inode numbers and times; and what `git init` found out about symbolic links, which a mount
// does not have.
const std::vector<std::string> kOfTheMachine = {"*/index", "*/config"};

std::string Sqlite(const std::string& journal, const std::string& sql) {
  return "sqlite3 -bail base.db <<'END'\nPRAGMA journal_mode=" + journal +
         ";\nPRAGMA synchronous=FULL;\n" + sql + "END\n";
}

constexpr const char* kFill = R"(
CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT, data BLOB);
CREATE INDEX names ON t(name);
BEGIN;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<1500)
  INSERT INTO t SELECT i, 'name '||(i*7919%1500), zeroblob(i%300) FROM n;
COMMIT;
BEGIN; DELETE FROM t WHERE id>500; ROLLBACK;
SELECT count(*), sum(length(data)) FROM t;
)";
constexpr const char* kChange = R"(
UPDATE t SET name='changed' WHERE id%7=0;
DELETE FROM t WHERE id BETWEEN 300 AND 900;
PRAGMA integrity_check;
SELECT count(*), sum(id) FROM t WHERE name='changed';
VACUUM;
PRAGMA integrity_check;
)";

AppCase SqliteCase(const std::string& name, const std::string& journal,
                   const std::vector<std::string>& flags = {}) {
  return {.name = name,
          .scripts = {Sqlite(journal, kFill), Sqlite(journal, kChange)},
          .times_below = "",
          .varying = {"base.db-journal"},  // PERSIST leaves one with random numbers in it
          .flags = flags};
}

const AppCase kCases[] = {
    SqliteCase("SqliteDelete", "DELETE"),
    SqliteCase("SqlitePersist", "PERSIST"),
    SqliteCase("SqliteWal", "WAL"),
    SqliteCase("SqliteDeleteThroughTheDaemon", "DELETE", {"--no-passthrough"}),
    SqliteCase("SqliteWalThroughTheDaemon", "WAL", {"--no-passthrough"}),
    {.name = "SqliteWritersAtOnce",
     .scripts = {R"(sqlite3 base.db 'PRAGMA journal_mode=WAL; CREATE TABLE t(w, i);'
                    for w in 1 2 3; do
                      (for i in $(seq 8); do
                         sqlite3 base.db '.timeout 60000' "INSERT INTO t VALUES($w, $i);"; done) &
                    done; wait
                    sqlite3 base.db 'SELECT w, count(*), sum(i) FROM t GROUP BY w;
                                     PRAGMA integrity_check; DROP TABLE t; VACUUM')"},
     .varying = {"base.db"}},
    {.name = "GitInitAndCommit",
     .scripts = {R"(git init -q -b main repo; cd repo; cp -r "$INPUT/tree/." .; git add .
                    git commit -q -m first; git status --porcelain; git rev-parse HEAD
                    git checkout -q -b side; echo more >>deep/text.txt; git mv small large
                    git commit -q -a -m side; git checkout -q main; git status --porcelain)",
                 R"(cd repo; git status --porcelain; git merge -q --no-edit side
                    echo again >>large; git commit -q -a -m again; git tag v1
                    git -c pack.threads=1 gc -q; git fsck --strict 2>&1; git status --porcelain
                    git log --format=%H --all)"},
     .varying = kOfTheMachine},
    {.name = "GitClone",
     .scripts = {R"(git init -q -b main "$WORK/origin"; cd "$WORK/origin"
                    cp -r "$INPUT/tree/." .; git add .; git commit -q -m first; cd - >/dev/null
                    git clone -q "file://$WORK/origin" clone; git -C clone remote remove origin
                    git clone -q --bare clone bare.git; chmod 444 bare.git/objects/pack/*)",
                 // Where a plain directory gets hard links, the mount gets copies with modes of
                 // their own.
                 R"(git clone -q clone second; git -C second remote remove origin
                    chmod 444 second/.git/objects/pack/*
                    git -C second fsck --strict 2>&1; git -C second status --porcelain
                    cd clone; echo pushed >>empty; git commit -q -a -m pushed
                    git push -q ../bare.git main; git -C ../bare.git log --format=%H)"},
     .varying = {"*/index", "*/config", "*/packed-refs", "*/logs/*"}},  // name $WORK
};
INSTANTIATE_TEST_SUITE_P(DatabasesAndGit, Apps, ::testing::ValuesIn(kCases), test::NameOfCase);

}  // namespace
}  // namespace outboxfs
