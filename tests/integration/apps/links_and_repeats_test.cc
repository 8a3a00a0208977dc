// What a second run of rsync costs (nothing), and what programs answer to sources with what a mount
// cannot have: symbolic links, hard links, fifos (docs/SEMANTICS.md).
#include <gmock/gmock.h>

#include <filesystem>

#include "support/app_fixture.h"

namespace outboxfs {
namespace {

namespace fs = std::filesystem;
using test::Apps;
using test::Eventually;
using test::Finished;
using test::ReadWholeFile;
using test::RunScript;
using test::WriteFile;
using ::testing::HasSubstr;

class Repeats : public Apps {
 protected:
  Finished Run(const std::string& script) {
    return RunScript(script, here(), input(), dir() / "work");
  }
  // What was uploaded since the mount: files and bytes.
  std::string Counters() {
    return mount().Status("[.uploads | .done, .bytes_uploaded, .files_pending] | @text");
  }
  void ExpectNothingHappens(const std::string& rsync, const std::string& when) {
    const std::string before = Counters();
    const Finished again = Run(rsync);
    EXPECT_EQ(again.exit_code, 0) << again.err;
    EXPECT_EQ(again.out, "") << when;
    ASSERT_NO_FATAL_FAILURE(UploadAll());
    EXPECT_EQ(Counters(), before) << when;
  }
};

TEST_F(Repeats, ASecondRsyncTransfersAndUploadsNothing) {
  ASSERT_NO_FATAL_FAILURE(Start());
  const std::string rsync = R"(rsync -a --itemize-changes "$INPUT/tree/" copy)";
  const std::string deleting = R"(rsync -a --delete --itemize-changes "$INPUT/tree/" copy)";
  ASSERT_EQ(Run(rsync).exit_code, 0);
  ASSERT_NO_FATAL_FAILURE(UploadAll());
  ASSERT_TRUE(Eventually([this] { return mount().StagedFiles() == 0; }));
  ExpectNothingHappens(rsync, "after the eviction");
  ExpectNothingHappens(deleting, "after the eviction");
  // Changed in place by rsync: what that sets is kept as well.
  ASSERT_EQ(Run("printf x | dd of=copy/deep/er/noise bs=1 seek=9999 conv=notrunc status=none; "
                "rsync -a --inplace --no-whole-file \"$INPUT/tree/\" copy")
                .exit_code,
            0);
  ASSERT_NO_FATAL_FAILURE(UploadAll());
  ExpectNothingHappens(deleting, "after --inplace");
  ASSERT_NO_FATAL_FAILURE(Remount());
  ExpectNothingHappens(rsync, "after a remount");
  ExpectNothingHappens(deleting, "after a remount");
}

// A source with a file, another name of it, a symbolic link and a fifo.
class Links : public Repeats {
 protected:
  static constexpr const char* kMake = R"(
    mkdir "$WORK/source"; cd "$WORK/source"; echo content >file; ln file hard; ln -s file soft
    mkfifo fifo; echo last >zlast; tar -C "$WORK" -cf "$WORK/source.tar" source)";

  void SetUp() override {
    ASSERT_NO_FATAL_FAILURE(Start());
    const Finished made = Run(kMake);
    ASSERT_EQ(made.exit_code, 0) << made.err;
  }
  // Runs it and checks its exit code, what it says, what arrived: names in the order of the
  // alphabet.
  void Expect(const std::string& script, int exit_code, const std::string& says,
              const std::string& names) {
    const Finished done = Run(script);
    EXPECT_EQ(done.exit_code, exit_code) << done.out << done.err;
    EXPECT_THAT(done.err, HasSubstr(says));
    EXPECT_EQ(Run("ls -mA copy").out, names + "\n");
    ASSERT_NO_FATAL_FAILURE(UploadAll());
    EXPECT_EQ(test::Differences(test::ReadTree(on_server()), test::ReadTree(here()), false), "");
  }
};

TEST_F(Links, CpCopiesTheRestAndEndsWithOne) {
  Expect(R"(cp -a "$WORK/source" copy)", 1, "cannot create symbolic link", "file, zlast");
}

TEST_F(Links, CpFollowingLinksCopiesEverythingThatIsAFile) {
  Expect(R"(rm "$WORK/source/fifo"; cp -rL "$WORK/source" copy)", 0, "", "file, hard, soft, zlast");
}

TEST_F(Links, RsyncCopiesTheRestAndEndsWith23) {
  Expect(R"(rsync -a "$WORK/source/" copy)", 23, "Operation not permitted", "file, hard, zlast");
}

TEST_F(Links, RsyncWithHardLinksLosesOneOfTheNames) {
  Expect(R"(code=0; rsync -aH --no-links --no-specials "$WORK/source/" copy || code=$?
            [ -e copy/file ] || mv copy/hard copy/file; exit $code)",
         23, "Operation not permitted", "file, zlast");
}

TEST_F(Links, RsyncWithoutLinksAndSpecialsEndsWithZero) {
  Expect(R"(rsync -a --no-links --no-specials "$WORK/source/" copy)", 0, "", "file, hard, zlast");
}

TEST_F(Links, TarUnpacksTheRestAndEndsWithTwo) {
  Expect(R"(mkdir copy; tar -C copy --strip-components=1 -xf "$WORK/source.tar")", 2,
         "Operation not permitted", "file, zlast");
}

TEST_F(Links, TarFollowingLinksHasNothingToLink) {
  Expect(R"(cd "$WORK/source"; rm fifo; tar -chf "$WORK/followed.tar" --hard-dereference .; cd - >&2
            mkdir copy; tar -C copy -xf "$WORK/followed.tar")",
         0, "", "file, hard, soft, zlast");
}

TEST_F(Links, GitChecksSymbolicLinksOutAsFilesAndEndsWithZero) {
  Expect(R"(rm "$WORK/source/fifo"; git init -q "$WORK/source"; cd "$WORK/source"; git add .
            git commit -qm all; cd - >&2; git clone -q "file://$WORK/source" copy
            git -C copy status --porcelain >&2; grep -qx file copy/soft
            git -C copy config core.symlinks | grep -qx false)",
         0, "", ".git, file, hard, soft, zlast");
  EXPECT_EQ(Run("git -C copy status --porcelain").out, "");
  EXPECT_TRUE(fs::is_regular_file(here() + "/copy/soft"));
}

}  // namespace
}  // namespace outboxfs
