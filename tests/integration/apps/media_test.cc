// ffmpeg: containers that are finished by going back to their beginning, and files read as they
// grow.
#include "support/app_fixture.h"

namespace outboxfs {
namespace {

using test::AppCase;
using test::Apps;

TEST_P(Apps, EndsAsOnAPlainDirectory) { RunCase(); }

// Small, and the same bytes each time.
constexpr const char* kEncode = R"(
encode() { ffmpeg -nostdin -v error -y -f lavfi -i "testsrc2=size=160x120:rate=10:duration=4" \
             -f lavfi -i "sine=duration=4" -threads 1 -c:v mpeg4 -b:v 600k -c:a aac \
             -fflags +bitexact -flags:v +bitexact -flags:a +bitexact "$@"; }
frames() { ffmpeg -nostdin -v error -i "$1" -map 0:v -c copy -f framecrc - | cksum; }
)";

std::string Ffmpeg(const std::string& script) { return kEncode + script; }

const AppCase kMedia[] = {
    {.name = "Mp4WithFastStart",
     .scripts = {Ffmpeg("encode -movflags +faststart film.mp4; frames film.mp4"),
                 // From what is remote by now, over it, and to another container.
                 Ffmpeg(R"(ffmpeg -nostdin -v error -ss 1 -i film.mp4 -c copy -fflags +bitexact \
                             -movflags +faststart cut.mp4
                           mv cut.mp4 film.mp4; frames film.mp4)")}},
    {.name = "Mkv",
     .scripts = {Ffmpeg("encode film.mkv; frames film.mkv"),
                 Ffmpeg(R"(ffmpeg -nostdin -v error -i film.mkv -c copy -fflags +bitexact again.mkv
                           frames again.mkv)")}},
    {.name = "Mp4ThroughTheDaemon",
     .scripts = {Ffmpeg("encode -movflags +faststart film.mp4; frames film.mp4")},
     .flags = {"--no-passthrough"}},
    // A recording that somebody watches: read while its writer has it open, at three lengths.
    {.name = "GrowingFile",
     .scripts = {Ffmpeg(R"(encode -f mpegts "$WORK/film.ts"; exec 3>recording.ts
                           for part in 0 1 2; do
                             dd if="$WORK/film.ts" bs=37600 skip=$((part * 2)) count=2 \
                               status=none >&3
                             stat -c %s recording.ts; frames recording.ts 2>&1
                             cmp -n $(stat -c %s recording.ts) recording.ts "$WORK/film.ts"
                           done
                           dd if="$WORK/film.ts" bs=37600 skip=6 status=none >&3
                           exec 3>&-; cmp "$WORK/film.ts" recording.ts)"),
                 // And one that goes on after it was uploaded.
                 R"(tail -c 50000 "$WORK/film.ts" >>recording.ts; exec 3<recording.ts
                    tail -c 60000 "$WORK/film.ts" >>recording.ts; cksum <&3; exec 3<&-)"}},
};
INSTANTIATE_TEST_SUITE_P(Media, Apps, ::testing::ValuesIn(kMedia), test::NameOfCase);

}  // namespace
}  // namespace outboxfs
