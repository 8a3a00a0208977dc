"""Times the same work on several file systems, in interleaved rounds, and prints medians and ratios.

Called by bench/run, which builds what is needed. Every round mounts each file system anew, so that
none of them profits from an earlier round. Only the work itself is timed; before each piece all dirty
pages are written and the file system's own upload has ended.
"""

import argparse
import contextlib
import dataclasses
import datetime
import json
import os
import pathlib
import platform
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

# How fast networks are: name, bytes per second, bytes that are read.
NETWORKS = (("1 Gbit/s", 118_000_000, 256 << 20), ("10 Gbit/s", 1_180_000_000, 1 << 30))
GIB = 1 << 30
SMALL_FILES = 5000
TREE_FILES = 2000
TREE_BYTES = 200 << 20
LISTED_FILES = 100_000
WRITE_BACK = "5s"  # rclone's default delay between close and upload, given to outboxfs too
PATIENCE = 900  # seconds that a mount, an upload or an unmount may take


def run(*command):
    """Runs a command to its end and returns what it printed; its errors are shown shortened."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{command[0]} exited with {done.returncode}: {done.stderr[-1500:]}")
    return done.stdout


def timed(action):
    start = time.monotonic()
    action()
    return time.monotonic() - start


def say(text):
    """Progress, on stderr: a run takes many minutes."""
    print(f"{datetime.datetime.now():%H:%M:%S} {text}", file=sys.stderr, flush=True)


def wait_for(condition, what):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited in vain for {what}")
        time.sleep(0.02)


def settle():
    """Leaves no dirty pages of earlier work to be written during the next."""
    os.sync()
    time.sleep(0.3)


@dataclasses.dataclass
class Process:
    child: subprocess.Popen

    def cpu_seconds(self):
        fields = pathlib.Path(f"/proc/{self.child.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def forget_peak(self):
        pathlib.Path(f"/proc/{self.child.pid}/clear_refs").write_text("5")

    def peak_mib(self):
        for line in pathlib.Path(f"/proc/{self.child.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) / 1024
        raise RuntimeError("no VmHWM")

    def stop(self):
        self.child.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.child.wait(30)
        if self.child.poll() is None:
            self.child.kill()
            self.child.wait()


class Native:
    """A plain directory: the 1.00 of every ratio."""
    name = "native"
    daemon = None

    def __init__(self, options):
        self.options = options

    def available(self):
        return True

    @contextlib.contextmanager
    def mounted(self, base):
        target = base / "native"
        target.mkdir()
        yield target

    def drain(self, target):
        """Waits until nothing that was written is still to be carried elsewhere."""


class Mounted(Native):
    """A mount that runs in the foreground as our child."""

    def start(self, command, mountpoint, base):
        log = open(base / "log", "wb")
        child = subprocess.Popen([str(part) for part in command], stdout=log, stderr=log,
                                 stdin=subprocess.DEVNULL)
        self.daemon = Process(child)

        def ready():
            if child.poll() is not None:
                raise RuntimeError(f"{self.name} ended: {(base / 'log').read_text()[-2000:]}")
            return os.path.ismount(mountpoint)

        wait_for(ready, f"the mount of {self.name}")

    def unmount(self, mountpoint):
        run("fusermount3", "-u", mountpoint)
        try:
            self.daemon.child.wait(60)
        except subprocess.TimeoutExpired:
            self.daemon.stop()

    @contextlib.contextmanager
    def mounted(self, base):
        mountpoint, backing = base / "mnt", base / "backing"
        mountpoint.mkdir()
        backing.mkdir()
        self.backing = backing
        self.start(self.command(mountpoint, backing, base), mountpoint, base)
        try:
            yield mountpoint
        finally:
            self.unmount(mountpoint)


class PassthroughHp(Mounted):
    name = "passthrough_hp"

    def available(self):
        return (self.options.build / "bench/passthrough_hp").exists()

    def command(self, mountpoint, backing, _base):
        return [self.options.build / "bench/passthrough_hp", "--foreground", backing, mountpoint]


class Rclone(Mounted):
    name = "rclone"

    def available(self):
        return shutil.which("rclone") is not None

    def command(self, mountpoint, backing, base):
        return ["rclone", "mount", "--config", "/dev/null", "--vfs-cache-mode", "writes",
                "--vfs-write-back", WRITE_BACK, "--cache-dir", base / "cache", backing, mountpoint]

    def drain(self, target):
        wait_for(lambda: tree_size(self.backing) == tree_size(target), "rclone's write-back")


def tree_size(top):
    files = size = 0
    for folder, _, names in os.walk(top):
        for name in names:
            files += 1
            with contextlib.suppress(FileNotFoundError):
                size += os.lstat(os.path.join(folder, name)).st_size
    return files, size


class Outboxfs(Mounted):
    name = "outboxfs"
    flags = ()
    server_flags = ()
    write_back = WRITE_BACK

    def available(self):
        return (self.options.build / "outboxfs").exists()

    def program(self):
        return self.options.build / "outboxfs"

    def command(self, mountpoint, _backing, base):
        address = (base / "address").read_text().split()[0]
        return [self.program(), "mount", address, mountpoint, "--foreground", "--cache-dir",
                base / "cache", "--token-file", base / "token", "--write-back", self.write_back,
                *self.flags]

    @contextlib.contextmanager
    def mounted(self, base):
        (base / "cloud").mkdir()
        with open(base / "server.log", "wb") as log:
            server = Process(subprocess.Popen(
                [str(self.program()), "serve", str(base / "cloud"), "--listen", "127.0.0.1:0",
                 "--token-file", str(base / "token"), "--ready-file", str(base / "address"),
                 *self.server_flags],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL))
        try:
            wait_for((base / "address").exists, "the reference server")
            with super().mounted(base) as target:
                yield target
        finally:
            server.stop()

    def drain(self, target):
        run(self.program(), "wait", target)


class OutboxfsDaemonPath(Outboxfs):
    name = "outboxfs --no-passthrough"
    flags = ("--no-passthrough",)


def sequential_write(target):
    """1 GiB in 128 KiB writes, with the close."""
    run("dd", "if=/dev/zero", f"of={target / 'sequential'}", "bs=128k", f"count={GIB // (128 << 10)}",
        "status=none")


def write_figures(system, target):
    figures = {}
    settle()
    figures["1 GiB sequential write (s)"] = timed(lambda: sequential_write(target))
    system.drain(target)
    (target / "sequential").unlink()
    return figures


def small_file_figures(system, target):
    folder = target / "small"
    folder.mkdir()
    settle()
    steps = json.loads(run(system.options.build / "bench/small_files", folder, SMALL_FILES))
    system.drain(target)
    figures = {f"{SMALL_FILES} files of 4 KiB (s)": steps["seconds"]}
    for step in ("create", "write", "close", "stat"):
        figures[f"… {step} (µs)"] = steps[f"{step}_us"]
    shutil.rmtree(folder)
    return figures


def rsync_figures(system, target):
    settle()
    command = ["rsync", "-a", f"{system.options.tree}/", f"{target}/tree/"]
    figures = {f"rsync -a of {TREE_FILES} files (s)": timed(lambda: run(*command))}
    system.drain(target)
    shutil.rmtree(target / "tree")
    return figures


def upload_figures(system, target):
    """A file that the server has never seen, so that it must ask for every byte."""
    settle()
    system.daemon.forget_peak()
    cpu = system.daemon.cpu_seconds()
    start = time.monotonic()
    shutil.copyfile(system.options.fresh, target / "fresh")
    written = time.monotonic()
    system.drain(target)
    done = time.monotonic()
    figures = {
        "upload of 1 GiB, first write to verified (s)": done - start,
        "upload of 1 GiB, close to verified (s)": done - written,
        "upload speed after close (MB/s)": GIB / 1e6 / (done - written),
        "CPU of the mount (s/GiB)": system.daemon.cpu_seconds() - cpu,
        "peak RSS of the mount (MiB)": system.daemon.peak_mib(),
    }
    (target / "fresh").unlink()
    return figures


def timed_reads(system, target):
    """Of /read on the server: by curl, and through the mount."""
    base = target.parent
    address = (base / "address").read_text().split()[0]
    url = run(system.options.build / "bench/download_url", address, base / "token", "/read").strip()
    run("curl", "-fsS", "-o", "/dev/null", url)  # the server's disk is warm for both
    curl = timed(lambda: run("curl", "-fsS", "-o", "/dev/null", url))
    wait_for((target / "read").exists, "the file to show")
    read = timed(lambda: run("dd", f"if={target / 'read'}", "of=/dev/null", "bs=1M", "status=none"))
    return curl, read


def download_figures(system, target):
    """A file and a large directory that came to the server by somebody else's hand, as after a restart:
    neither the kernel nor the mount knows anything of them yet."""
    base = target.parent
    shutil.copyfile(system.options.fresh, base / "cloud" / "read")
    many = base / "cloud" / "many"
    many.mkdir()
    for i in range(LISTED_FILES):
        (many / f"file-{i:06}").touch()
    settle()
    curl, read = timed_reads(system, target)
    return {
        "read of 1 GiB from the server (s)": read,
        "… by curl (s)": curl,
        "… speed as a part of curl's": curl / read,
        f"first ls -l of {LISTED_FILES} files (s)": timed(lambda: run("ls", "-l", target / "many")),
        "… second (s)": timed(lambda: run("ls", "-l", target / "many")),
    }


def measure_download(system, place):
    place.mkdir()
    try:
        with system.mounted(place) as target:
            return download_figures(system, target)
    finally:
        shutil.rmtree(place)


def measure_slow_download(system, place):
    """From a server at the other end of a network, which is what people have."""
    figures = {}
    for name, rate, size in NETWORKS:
        place.mkdir()
        system.server_flags = ("--knob", f"download_rate={rate}")
        try:
            with system.mounted(place) as target:
                with open(system.options.fresh, "rb") as fresh:
                    (place / "cloud" / "read").write_bytes(fresh.read(size))
                curl, read = timed_reads(system, target)
        finally:
            system.server_flags = ()
            shutil.rmtree(place)
        figures |= {
            f"read of {size >> 20} MiB over {name} (s)": read,
            f"… by curl over {name} (s)": curl,
            f"… speed as a part of curl's over {name}": curl / read,
        }
    return figures


def measure_upload(system, place):
    """In a mount of its own, that starts to upload at once."""
    place.mkdir()
    system.write_back = "0s"
    try:
        with system.mounted(place) as target:
            return upload_figures(system, target)
    finally:
        system.write_back = WRITE_BACK
        shutil.rmtree(place)


def make_tree(top):
    """Files of all sizes around the mean, in folders of 50, with bytes that do not repeat."""
    for i in range(TREE_FILES):
        folder = top / f"folder-{i // 50:02}"
        folder.mkdir(parents=True, exist_ok=True)
        size = int(TREE_BYTES / TREE_FILES * (0.02 + 1.96 * ((i * 7919) % TREE_FILES) / TREE_FILES))
        (folder / f"file-{i:04}.dat").write_bytes(os.urandom(size))


def make_fresh(path):
    with open(path, "wb") as file:
        for _ in range(GIB >> 20):
            file.write(os.urandom(1 << 20))


def measure(systems, options, base):
    """Figures by name of the system, then of the figure: one value a round."""
    results = {system.name: {} for system in systems}
    for number in range(options.rounds):
        make_fresh(options.fresh)
        # Each round starts with another system, so that none always has the same predecessor.
        for system in systems[number % len(systems):] + systems[:number % len(systems)]:
            place = base / f"round-{number}"
            place.mkdir()
            with system.mounted(place) as target:
                figures = {}
                for work in (write_figures, small_file_figures, rsync_figures):
                    say(f"round {number + 1} of {options.rounds}: {system.name}: {work.__name__}")
                    figures |= work(system, target)
            shutil.rmtree(place)
            if isinstance(system, Outboxfs):
                say(f"round {number + 1} of {options.rounds}: {system.name}: upload_figures")
                figures |= measure_upload(system, place)
                say(f"round {number + 1} of {options.rounds}: {system.name}: download_figures")
                figures |= measure_download(system, place)
                say(f"round {number + 1} of {options.rounds}: {system.name}: slow_download_figures")
                figures |= measure_slow_download(system, place)
            for figure, value in figures.items():
                results[system.name].setdefault(figure, []).append(value)
    return results


def raw_grpc(options):
    """Speeds of raw calls, by their size and how many are in flight."""
    return json.loads(run(options.build / "bench/raw_grpc", 1024))


def cell(value, native):
    text = f"{value:.2f}" if value < 100 else f"{value:.0f}"
    return f"{text} ({value / native:.2f})" if native else text


def rows_of(results):
    """One row a figure, one column a system; ratios to native where native has that figure."""
    names = list(results)
    figures = list(dict.fromkeys(figure for of in results.values() for figure in of))
    rows = [["", *names]]
    for figure in figures:
        native = results.get("native", {}).get(figure)
        row = [figure]
        for name in names:
            values = results[name].get(figure)
            base = statistics.median(native) if native else None
            row.append(cell(statistics.median(values), base) if values else "–")
        rows.append(row)
    return rows


def comparisons(results, raw):
    """The ratios that the aims of the project speak of."""
    median = {name: {figure: statistics.median(values) for figure, values in of.items()}
              for name, of in results.items()}
    lines = []
    for name in (Outboxfs.name, OutboxfsDaemonPath.name):
        if name not in median:
            continue
        for figure, value in median[name].items():
            if figure in median.get("rclone", {}) and "(s)" in figure:
                ratio = median["rclone"][figure] / value
                lines.append(f"{name}: {figure.removesuffix(' (s)')}: {ratio:.1f} times as fast as rclone")
        best = max(run["mb_per_s"] for run in raw if run["chunk"] == 1 << 20)
        speed = median[name]["upload speed after close (MB/s)"]
        lines.append(f"{name}: upload {speed:.0f} MB/s, {speed / best:.2f} of raw gRPC's {best:.0f} MB/s"
                     " (best of 1 to 8 calls of 1 MiB in flight)")
    return lines


def print_table(rows, markdown):
    if markdown:
        print("| " + " | ".join(rows[0]) + " |")
        print("|" + "---|" * len(rows[0]))
        for row in rows[1:]:
            print("| " + " | ".join(row) + " |")
        return
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        print("  ".join(text.ljust(width) if i == 0 else text.rjust(width)
                        for i, (text, width) in enumerate(zip(row, widths))))


def report(results, raw, options):
    heading = (f"{datetime.date.today()}, Linux {platform.release()}, {os.cpu_count()} cores, "
               f"median of {options.rounds} interleaved rounds; in brackets the ratio to native. "
               f"rclone and outboxfs start to upload {WRITE_BACK} after a close; where the upload itself "
               "is timed, at once")
    if options.markdown:
        print(f"# Figures\n\nPrinted by `bench/run --markdown`. {heading}.\n")
    else:
        print(f"{heading}\n")
    print_table(rows_of(results), options.markdown)
    bullet = "- " if options.markdown else ""
    print()
    for line in comparisons(results, raw):
        print(bullet + line)
    print()
    raw_rows = [["raw gRPC, calls of", "in flight", "MB/s", "CPU of the client (s/GiB)"]]
    raw_rows += [[f"{run['chunk'] >> 10} KiB", str(run["in_flight"]), f"{run['mb_per_s']:.0f}",
                  f"{run['cpu_s_per_gib']:.2f}"] for run in raw]
    print_table(raw_rows, options.markdown)


def main():
    parser = argparse.ArgumentParser(prog="bench/run")
    parser.add_argument("--build", type=pathlib.Path, default="build", help=argparse.SUPPRESS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", help="native,rclone,passthrough_hp,outboxfs,outboxfs --no-passthrough")
    parser.add_argument("--work", help="directory to work in; some 8 GiB on a local disk")
    parser.add_argument("--markdown", action="store_true", help="print as Markdown")
    options = parser.parse_args()
    options.build = options.build.resolve()

    kinds = [Native, Rclone, PassthroughHp, Outboxfs, OutboxfsDaemonPath]
    systems = [kind(options) for kind in kinds if not options.only or kind.name in options.only.split(",")]
    for system in [system for system in systems if not system.available()]:
        print(f"not available: {system.name}", file=sys.stderr)
        systems.remove(system)
    # On a disk, not below /tmp, which may be memory.
    work = options.work or os.environ.get("TMPDIR") or "/var/tmp"
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with tempfile.TemporaryDirectory(prefix="outboxfs-bench-", dir=work) as base:
        base = pathlib.Path(base)
        options.tree, options.fresh = base / "source-tree", base / "source-fresh"
        make_tree(options.tree)
        raw = raw_grpc(options)
        report(measure(systems, options, base), raw, options)


if __name__ == "__main__":
    main()
