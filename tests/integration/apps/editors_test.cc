// What edits in place and saves by renaming: vim, emacs, dd, logs, several writers at once.
#include "support/app_fixture.h"

namespace outboxfs {
namespace {

using test::AppCase;
using test::Apps;

TEST_P(Apps, EndsAsOnAPlainDirectory) { RunCase(); }

// Save over the file itself, or to a new one that takes its name; with a swap file, and with the
// last version kept as FILE.bak.
constexpr const char* kVim = R"(
vi_do() { vim.tiny -N -u NONE -i NONE -es --cmd "set nomore backup backupskip= backupext=.bak $1" -c "$2" \
            -c 'set fileformat?' -c 'wq' "$3" </dev/null >/dev/null; }
)";

// As emacs saves with its defaults: a lock that is a plain file where there are no symbolic links,
// an autosave, the last version renamed to FILE~ at the first save, the new one written to FILE.
constexpr const char* kEmacs = R"(
emacs_save() { # file, backup?
  ln -s me@host.1:2 ".#$1" 2>/dev/null || printf me@host.1:2 >".#$1"
  cat >"#$1#"; [ "$2" = no ] || [ ! -e "$1" ] || mv "$1" "$1~"
  cat "#$1#" >"$1.new"; sync "$1.new"; chmod 640 "$1.new"; mv "$1.new" "$1"
  rm "#$1#" ".#$1"
}
)";

const std::string kWriter = R"(
block() { # file, number, byte: blocks of 64 KiB
  head -c 65536 /dev/zero | tr '\0' "$3" | dd of="$1" bs=65536 seek="$2" conv=notrunc status=none
}
)";

const AppCase kEditing[] = {
    {.name = "VimInPlace",
     .scripts = {std::string(kVim) + R"(
                   cp "$INPUT/tree/deep/text.txt" text; chmod 600 text
                   vi_do 'backupcopy=yes' '%s/line \(\d\+\)/\1. line/' text; head -1 text)",
                 std::string(kVim) +
                     "vi_do 'backupcopy=yes' '10,20delete' text; wc text text.bak"}},
    {.name = "VimRenaming",
     .scripts = {std::string(kVim) + R"(
                   cp "$INPUT/tree/run.sh" run.sh; chmod 755 run.sh
                   vi_do 'backupcopy=no' '%s/hello/good day/' run.sh; ./run.sh)",
                 std::string(kVim) + R"(
                   vi_do 'backupcopy=no writebackup fsync' '$s/day/night/' run.sh; ./run.sh
                   vi_do 'backupcopy=no' 'normal Onew' new; stat -c %a run.sh new)"}},
    {.name = "Emacs",
     .scripts = {std::string(kEmacs) + "echo one | emacs_save notes yes\n"
                                       "echo two | emacs_save notes yes",
                 std::string(kEmacs) + "echo three | emacs_save notes no\n"
                                       "echo four | emacs_save notes yes; cat notes~"},
     .flags = {"--temp-hold", "300ms"}},  // notes~ stays under its name
    {.name = "SavesOfDesktopPrograms",
     .scripts = {R"(printf 'first version' >document.odt
                    printf 'me' >.~lock.document.odt#        # LibreOffice
                    printf 'second version' >lu123.tmp; sync lu123.tmp; mv lu123.tmp document.odt
                    rm .~lock.document.odt#
                    printf 'gedit' >.goutputstream-A1B2C3; mv .goutputstream-A1B2C3 notes.txt
                    printf 'code' >main.c; truncate -s 0 main.c; printf 'longer code' >>main.c)",
                 R"(printf 'third' >lu124.tmp; mv document.odt document.bak
                    mv lu124.tmp document.odt; rm document.bak
                    printf 'code again' | dd of=main.c status=none
                    sed -i s/gedit/sed/ notes.txt; perl -pi -e 's/third/fourth/' document.odt)"}},
    {.name = "DdInPlace",
     .scripts = {R"(cp "$INPUT/tree/deep/er/noise" disk.img
                    echo one | dd of=disk.img bs=4096 seek=7 conv=notrunc status=none
                    dd if=disk.img of=disk.img bs=65536 count=3 seek=20 conv=notrunc status=none)",
                 R"(echo two | dd of=disk.img bs=1 seek=1234567 conv=notrunc status=none
                    dd if=/dev/zero of=disk.img bs=1M seek=4 count=1 conv=notrunc status=none
                    dd if=disk.img bs=1000 skip=1230 count=8 status=none | cksum)",
                 R"(fallocate -p -o 1M -l 1M disk.img; truncate -s 3500000 disk.img
                    fallocate -l 4000000 disk.img; cksum disk.img)"}},
    {.name = "DdInPlaceThroughTheDaemon",
     .scripts = {R"(cp "$INPUT/tree/deep/er/noise" disk.img
                    echo one | dd of=disk.img bs=4096 seek=7 conv=notrunc,fsync status=none)",
                 R"(echo two | dd of=disk.img bs=1 seek=1234567 conv=notrunc status=none
                    dd if=disk.img of=disk.img bs=65536 count=3 seek=20 conv=notrunc status=none)"},
     .flags = {"--no-passthrough"}},
    {.name = "Logs",
     .scripts = {R"(for i in $(seq 50); do echo "entry $i" >>log; done
                    exec 3>>log; echo held >&3; mv log log.1; echo 'still here' >&3; exec 3>&-
                    echo begun >log)",
                 // Rotation of what is remote, and copytruncate under an open descriptor.
                 R"(mv log.1 log.2; mv log log.1; exec 3>>log; echo a >&3; cp log log.0
                    : >log; echo b >&3; exec 3>&-; gzip -n log.2
                    for i in $(seq 20); do echo "entry $i" >>log.1; done)"}},
    {.name = "AppendersAtOnce",
     .scripts = {R"(for w in 1 2 3 4; do
                      (for i in $(seq 60); do printf 'writer %d line %03d\n' $w $i; done >>log
                       for i in $(seq 60 80); do printf 'writer %d line %03d\n' $w $i >>log; done) &
                    done; wait; sort log | cksum)",
                 R"(for w in 5 6; do (seq -f "writer $w line %03g" 100 >>log) & done; wait
                    sort log | cksum)"},
     .varying = {"log"}},
    {.name = "WritersOfPartsAtOnce",
     .scripts = {kWriter + R"(for w in a b c d e f; do
                      (for i in 0 1 2 3; do block shared $((i * 6 + $(printf %d "'$w") - 97)) $w; done
                       seq 100 >"own $w") &
                    done; wait; cksum shared)",
                 kWriter + R"((block shared 3 x) & (block shared 30 y) & (block shared 11 z) &
                    (cat shared >/dev/null) & wait; cksum shared)"}},
    {.name = "WritersOfPartsThroughTheDaemon",
     .scripts = {kWriter + R"(for w in a b c d; do
                      (for i in 0 1 2 3; do block shared $((i * 4 + $(printf %d "'$w") - 97)) $w; done) &
                    done; wait; cksum shared
                    for w in 1 2 3; do (seq -f "writer $w line %03g" 100 >>log) & done; wait
                    sort log | cksum)"},
     .varying = {"log"},
     .flags = {"--no-passthrough"}},
};
INSTANTIATE_TEST_SUITE_P(Editing, Apps, ::testing::ValuesIn(kEditing), test::NameOfCase);

}  // namespace
}  // namespace outboxfs
