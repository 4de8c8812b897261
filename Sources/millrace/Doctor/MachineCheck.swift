import Reactor

/// What of the machine decides whether the service can do its work.
///
/// The rules are apart from the looking, so that every one of them can be tested.
enum MachineCheck {
    /// Besides one a connection: listeners, the database, workers, the spool.
    private static let descriptorsBesides = 256
    private static let freeBytesMin = 1 << 30
    /// A disk that says so sooner has a cache that a power failure empties, or does not write at all.
    private static let syncMin = Duration.microseconds(20)
    private static let syncMax = Duration.milliseconds(20)
    private static let syncs = 16

    static func descriptors(_ count: Int, connectionsMax: Int) -> Finding {
        let needed = connectionsMax + descriptorsBesides
        if count >= needed { return .fine("descriptors", "\(count) allowed, \(needed) needed at most") }
        return .warning(
            "descriptors",
            "\(count) allowed, \(needed) needed with --max-connections \(connectionsMax)",
            "Raise the hard limit (ulimit -Hn, LimitNOFILE= of systemd), or lower --max-connections."
        )
    }

    static func room(_ bytes: Int, in path: String) -> Finding {
        let text = "\(SendTotals.grouped(bytes >> 20)) MiB free in \(path)"
        if bytes >= freeBytesMin { return .fine("disk", text) }
        return .warning(
            "disk",
            text,
            "The spool and an embedded database need room: give --data a larger disk."
        )
    }

    static func synchronization(_ median: Duration, in path: String) -> Finding {
        let microseconds = Int(median / .microseconds(1))
        let text = "\(SendTotals.grouped(microseconds)) µs until the disk has 8 KiB"
        if median < syncMin {
            return .warning(
                "fsync",
                text,
                "So fast that it may not be true: on \(path) a power failure may lose what was acknowledged."
            )
        }
        if median > syncMax {
            return .warning(
                "fsync",
                text,
                "Every acknowledgement waits for it: a faster disk is a faster service."
            )
        }
        return .fine("fsync", text)
    }

    /// Looks at the folder of `--data`, which is made where it is not there; what it writes it removes.
    static func data(_ path: String) -> [Finding] {
        do throws(SystemError) {
            try ProcessSetup.makeDirectory(path)
            let folder = try DiskFolder(path: path)
            let name = "doctor.tmp"
            // Of a doctor who was killed.
            if try folder.names().contains(name) { try folder.remove(name) }
            let file = try DiskFile(path: folder.path(of: name), .new)
            var took: [Duration] = []
            for turn in 0..<syncs {
                try file.write([UInt8](repeating: UInt8(turn), count: 8_192), at: turn * 8_192)
                let began = Deadline.now()
                try file.synchronize()
                took.append(Deadline.now().duration(since: began))
            }
            try folder.remove(name)
            return [
                room(try folder.freeBytes(), in: path),
                synchronization(took.sorted()[syncs / 2], in: path),
            ]
        } catch {
            return [
                .failure(
                    "data",
                    "\(path): \(error)",
                    "Make it a folder that this account can write to, or choose --data."
                )
            ]
        }
    }
}
