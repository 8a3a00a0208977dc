// What copies: cp, mv, install, rsync, tar, unzip.
#include "support/app_fixture.h"

namespace outboxfs {
namespace {

using test::AppCase;
using test::Apps;

TEST_P(Apps, EndsAsOnAPlainDirectory) { RunCase(); }

const AppCase kCopying[] = {
    {.name = "CpArchive",
     .scripts = {R"(cp -a "$INPUT/tree" copy)",
                 // Again over what is evicted by now, and from name to name within the mount.
                 R"(cp -a "$INPUT/tree/." copy; cp -a copy/deep again
                    cp -a --reflink=auto copy/small small)"},
     .times_below = "."},
    {.name = "CpHolesUpdatesAndBackups",
     .scripts = {R"(truncate -s 3M "$WORK/holes"
                    echo middle | dd of="$WORK/holes" bs=1 seek=1500000 conv=notrunc status=none
                    cp --sparse=always "$WORK/holes" holes
                    echo one >file; echo two >"$WORK/file"; cp -f "$WORK/file" file
                    cp -n "$INPUT/tree/small" file
                    cp --preserve=timestamps "$INPUT/tree/small" old
                    cp -u "$INPUT/tree/small" file; cp -v --parents old copy.d 2>&1 || mkdir copy.d
                    cp --parents holes copy.d
                    cp -S .bak --backup=simple "$INPUT/tree/run.sh" file)",
                 R"(cp --sparse=never holes dense; cp -S .old --backup=simple dense holes)"}},
    {.name = "Mv",
     .scripts = {R"(cp -r "$INPUT/tree" "$WORK/tree"; mv "$WORK/tree" moved
                    mv moved/small 'new name'; mkdir to; mv 'new name' moved/run.sh to
                    echo over >moved/over; mv -f to/run.sh moved/over; mv moved/deep to/deep)",
                 // What is remote by now.
                 R"(mv to/deep deep; mv deep/er/noise to; mv -n to/noise moved/empty
                    echo new >other; mv other 'to/new name'; mv to other; rmdir moved/empty.d
                    mv other/noise "$WORK"; mv "$WORK/noise" noise)"}},
    {.name = "Install",
     .scripts = {R"(install -d -m 750 bin share/doc
                    install -m 755 "$INPUT/tree/run.sh" bin/run
                    install -D -m 640 "$INPUT/tree/deep/text.txt" share/doc/deep/er/text)",
                 R"(install -m 700 "$INPUT/tree/small" bin/run
                    install -b -S .old -m 644 "$INPUT/tree/empty" share/doc/deep/er/text)"}},
    {.name = "RsyncArchive",
     .scripts = {R"(rsync -a --itemize-changes "$INPUT/tree/" copy)",
                 R"(cp -a "$INPUT/tree" "$WORK"; cd "$WORK/tree"; rm -r small deep/er
                    echo longer >>deep/text.txt; mkdir new; echo new >new/file
                    chmod 711 empty.d; touch -d 2011-11-11 run.sh new new/file . deep deep/text.txt; cd - >/dev/null
                    rsync -a --delete --itemize-changes "$WORK/tree/" copy | sort)"},
     .times_below = "copy"},
    {.name = "RsyncInPlace",
     .scripts =
         {R"(cp -a "$INPUT/tree" "$WORK"; rsync -a --inplace "$WORK/tree/" copy)",
          R"(cd "$WORK/tree/deep/er"; echo changed | dd of=noise bs=1 seek=2000000 conv=notrunc \
                      status=none; truncate -s -70000 ../'odd size'; echo more >>../text.txt; cd - >/dev/null
                    touch -d 2012-12-12 "$WORK"/tree/deep/er/noise "$WORK"/tree/deep/{odd*,text*}
                    rsync -a --inplace --no-whole-file "$WORK/tree/" copy)"},
     .times_below = "copy"},
    {.name = "RsyncPartial",
     // The receiver's writes fail at a limit, so that it leaves what it has.
     .scripts = {R"(cp -a "$INPUT/tree/deep/er/noise" "$WORK"; trap '' XFSZ
                    (ulimit -f 1500; rsync -a --partial --inplace "$WORK/noise" . 2>/dev/null) ||
                      echo "rsync ended with $?"
                    stat -c %s noise)",
                 R"(rsync -a --partial --stats "$WORK/noise" . | grep '^Literal data')"},
     .times_below = ""},
    {.name = "RsyncAppendVerify",
     .scripts = {R"(cp -a "$INPUT/tree/deep/er/noise" "$WORK"
                    head -c 1700000 "$WORK/noise" >noise; head -c 1000000 /dev/zero >wrong
                    cp "$WORK/noise" "$WORK/wrong"; touch -r "$WORK/noise" noise)",
                 R"(rsync -a --append-verify "$WORK/noise" "$WORK/wrong" .)"},
     .times_below = "noise"},
    {.name = "RsyncSparse",
     .scripts = {R"(truncate -s 5M "$WORK/holes"
                    echo end >>"$WORK/holes"; rsync -a --sparse "$WORK/holes" .)",
                 R"(echo begin | dd of="$WORK/holes" conv=notrunc status=none
                    touch -d 2012-12-12 "$WORK/holes"  # rsync looks at whole seconds
                    rsync -a --sparse --no-whole-file "$WORK/holes" .)"}},
    {.name = "Tar",
     .scripts = {R"(tar -C "$INPUT" -czf "$WORK/tree.tgz" tree; tar -xpf "$WORK/tree.tgz"
                    tar --sort=name -cf packed.tar tree; tar -df packed.tar)",
                 R"(tar --overwrite -xpf "$WORK/tree.tgz"; tar -df packed.tar
                    tar --append -f packed.tar --transform 's/^/second-/' tree/small
                    tar --delete -f packed.tar tree/run.sh; tar -tf packed.tar)"},
     .times_below = "tree"},
    {.name = "Zip",
     .scripts = {R"(cd "$INPUT"; zip -qrX "$WORK/tree.zip" tree; cd - >/dev/null
                    unzip -q "$WORK/tree.zip"; cp "$WORK/tree.zip" packed.zip; unzip -tq packed.zip)",
                 R"(unzip -qo "$WORK/tree.zip" tree/deep/text.txt; touch -r tree/run.sh tree/deep
                    zip -qX packed.zip tree/small; zip -qd packed.zip tree/run.sh
                    unzip -Z1 packed.zip)"},
     .times_below = "tree"},
};
INSTANTIATE_TEST_SUITE_P(Copying, Apps, ::testing::ValuesIn(kCopying), test::NameOfCase);

}  // namespace
}  // namespace outboxfs
