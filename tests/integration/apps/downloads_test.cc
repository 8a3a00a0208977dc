// What downloads: a writer that works as qBittorrent does, and one like a browser.
#include "support/app_fixture.h"

namespace outboxfs {
namespace {

using test::AppCase;
using test::Apps;

TEST_P(Apps, EndsAsOnAPlainDirectory) { RunCase(); }

// Preallocates NAME.!qB, writes blocks of 16 KiB in random order, with descriptors that come and
// go, reads complete pieces back to check them, and takes the ending off at the end. HOW: "write",
// or "map" as newer versions do.
constexpr const char* kTorrent = R"(
torrent() { python3 - "$@" <<'END'
import hashlib, mmap, os, random, sys
name, how, blocks, seed = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
BLOCK, PIECE = 16384, 8
rng = random.Random(seed)
content = rng.randbytes(blocks * BLOCK - 5000)
temporary = name + ".!qB"
fd = os.open(temporary, os.O_RDWR | os.O_CREAT, 0o644)
os.posix_fallocate(fd, 0, len(content))
mapped = mmap.mmap(fd, len(content)) if how == "map" else None
order = list(range(blocks))
rng.shuffle(order)
have = set()
for count, block in enumerate(order):
    data = content[block * BLOCK:(block + 1) * BLOCK]
    if mapped:
        mapped[block * BLOCK:block * BLOCK + len(data)] = data
    else:
        assert os.pwrite(fd, data, block * BLOCK) == len(data)
        if count % 37 == 36:
            os.close(fd)
            fd = os.open(temporary, os.O_RDWR)
    have.add(block)
    piece = block // PIECE
    if all(b in have for b in range(piece * PIECE, min(blocks, (piece + 1) * PIECE))):
        with open(temporary, "rb") as reader:
            reader.seek(piece * PIECE * BLOCK)
            got = reader.read(PIECE * BLOCK)
        assert got == content[piece * PIECE * BLOCK:(piece + 1) * PIECE * BLOCK], f"piece {piece}"
if mapped:
    mapped.flush()
    mapped.close()
os.close(fd)
os.rename(temporary, name)
print(name, hashlib.sha1(content).hexdigest())
END
}
)";

std::string Torrent(const std::string& script) { return kTorrent + script; }

const AppCase kDownloads[] = {
    {.name = "QBittorrent",
     .scripts = {Torrent(R"(mkdir -p incomplete/Show/Sub finished
                            torrent incomplete/Show/e1.mkv write 150 1
                            torrent incomplete/Show/e2.mkv write 97 2 &
                            torrent incomplete/Show/Sub/e1.srt write 1 3 >/dev/null; wait
                            mv incomplete/Show finished/; rmdir incomplete; ls finished/Show)"),
                 // Renamed by the user, another download beside it, checked again.
                 Torrent(R"(mv finished/Show 'finished/The Show (2024)'
                            torrent 'finished/The Show (2024)/e3.mkv' write 40 4
                            cksum finished/*/*.mkv)")}},
    {.name = "QBittorrentMapping",
     .scripts = {Torrent(R"(mkdir -p incomplete/Film; torrent incomplete/Film/film.mkv map 150 1
                            mv incomplete/Film film)")}},
    {.name = "QBittorrentThroughTheDaemon",
     .scripts = {Torrent(R"(mkdir -p incomplete/Film; torrent incomplete/Film/film.mkv write 150 1
                            mv incomplete/Film film)")},
     .flags = {"--no-passthrough"}},
    {.name = "Browser",
     .scripts = {R"(: >'report (1).pdf'; head -c 500000 "$INPUT/tree/deep/er/noise" >'r.crdownload'
                    tail -c +500001 "$INPUT/tree/deep/er/noise" >>r.crdownload
                    mv r.crdownload 'report (1).pdf'
                    head -c 1000000 "$INPUT/tree/deep/er/noise" >file.iso.part)",
                 // Gone on with after its hold is over and it was uploaded.
                 R"(tail -c +1000001 "$INPUT/tree/deep/er/noise" >>file.iso.part
                    mv file.iso.part file.iso; cmp file.iso "$INPUT/tree/deep/er/noise")"},
     .flags = {"--temp-hold", "300ms"}},
};
INSTANTIATE_TEST_SUITE_P(Downloads, Apps, ::testing::ValuesIn(kDownloads), test::NameOfCase);

}  // namespace
}  // namespace outboxfs
