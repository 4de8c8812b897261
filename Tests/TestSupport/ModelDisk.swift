import Glibc
package import Reactor
package import Spool
package import Synchronization

/// A disk that keeps apart what programs see and what would survive, fails as the dice fall, and loses power
/// before any of its calls.
///
/// Writes that were not synced survive a loss of power sector by sector, at random; entries of the folder in
/// the order in which they were made, up to a random one. A sync that fails forgets what it should have
/// written, as Linux does.
package final class ModelDisk: SpoolDisk {
    package enum Change {
        case write([UInt8], at: Int)
        case truncate(Int)
    }

    package enum Entry {
        case add(String, Int)
        case rename(String, String)
        case remove(String)
    }

    package struct Image {
        package var seen: [UInt8] = []
        package var durable: [UInt8] = []
        package var unsynced: [Change] = []
        /// Places that cannot be read any more.
        package var badRange: Range<Int>?
    }

    /// What goes wrong.
    package struct Faults {
        /// Calls until the power goes; `nil` for never.
        package var callsLeft: Int?
        /// One in so many calls fails with EIO, 0 for none.
        package var errorOneIn = 0
        /// Bytes of room; a reservation beyond gets ENOSPC.
        package var roomBytes = Int.max

        package init(callsLeft: Int? = nil, errorOneIn: Int = 0, roomBytes: Int = .max) {
            self.callsLeft = callsLeft
            self.errorOneIn = errorOneIn
            self.roomBytes = roomBytes
        }
    }

    package struct Contents {
        package var images: [Int: Image] = [:]
        package var names: [String: Int] = [:]
        package var durableNames: [String: Int] = [:]
        package var entries: [Entry] = []
        package var made = 0
        package var random: SplitMix
        package var faults = Faults()
        package var isOff = false
        /// Syncs of files that were tried.
        package var syncs = 0
        package var failsNextSync = false
    }

    package let contents: Mutex<Contents>

    /// Is told of each call that changes something or fails.
    private let onCall: @Sendable (String) -> Void

    package init(seed: UInt64, onCall: @escaping @Sendable (String) -> Void = { _ in }) {
        contents = Mutex(Contents(random: SplitMix(seed: seed)))
        self.onCall = onCall
    }

    private init(_ contents: Contents, _ onCall: @escaping @Sendable (String) -> Void) {
        self.contents = Mutex(contents)
        self.onCall = onCall
    }

    /// What the files take that programs see.
    package var bytes: Int { contents.withLock { Self.bytes(of: $0) } }

    fileprivate static func bytes(of contents: Contents) -> Int {
        contents.names.values.reduce(0) { $0 + (contents.images[$1]?.seen.count ?? 0) }
    }

    static let sectorBytes = 512

    package func set(_ faults: Faults) { contents.withLock { $0.faults = faults } }

    package var isOff: Bool { contents.withLock { $0.isOff } }

    // MARK: Ends

    /// The disk as the next boot finds it.
    package func afterPowerLoss() -> ModelDisk {
        var next = contents.withLock { $0 }
        next.names = next.durableNames
        let surviving = Int.random(in: 0...next.entries.count, using: &next.random)
        for entry in next.entries.prefix(surviving) { Self.apply(entry, to: &next.names) }
        next.entries = []
        next.durableNames = next.names
        for number in next.images.keys.sorted() {
            var image = next.images[number] ?? Image()
            for change in image.unsynced { Self.tear(change, into: &image.durable, &next.random) }
            image.unsynced = []
            image.seen = image.durable
            next.images[number] = image
        }
        next.isOff = false
        next.faults = Faults()
        return ModelDisk(next, onCall)
    }

    /// The disk as the next process finds it when only the last one was killed.
    package func afterKill() -> ModelDisk {
        var next = contents.withLock { $0 }
        next.isOff = false
        next.faults = Faults()
        return ModelDisk(next, onCall)
    }

    private static func tear(_ change: Change, into bytes: inout [UInt8], _ random: inout SplitMix) {
        switch change {
        case .truncate(let size):
            if Bool.random(using: &random) { resize(&bytes, size) }
        case .write(let written, let offset):
            let whole = Int.random(in: 0..<3, using: &random) == 0
            var start = 0
            while start < written.count {
                let end = min(written.count, start + sectorBytes - (offset + start) % sectorBytes)
                if whole || Bool.random(using: &random) {
                    if bytes.count < offset + end { resize(&bytes, offset + end) }
                    bytes.replaceSubrange(offset + start..<offset + end, with: written[start..<end])
                }
                start = end
            }
        }
    }

    static func apply(_ change: Change, to bytes: inout [UInt8]) {
        switch change {
        case .truncate(let size): resize(&bytes, size)
        case .write(let written, let offset):
            if bytes.count < offset + written.count { resize(&bytes, offset + written.count) }
            bytes.replaceSubrange(offset..<offset + written.count, with: written)
        }
    }

    static func resize(_ bytes: inout [UInt8], _ size: Int) {
        if bytes.count > size {
            bytes.removeLast(bytes.count - size)
        } else {
            bytes.append(contentsOf: repeatElement(0, count: size - bytes.count))
        }
    }

    private static func apply(_ entry: Entry, to names: inout [String: Int]) {
        switch entry {
        case .add(let name, let number): names[name] = number
        case .rename(let name, let other): names[other] = names.removeValue(forKey: name)
        case .remove(let name): names[name] = nil
        }
    }

    // MARK: Calls

    /// One call: it fails if the dice say so, and is the last one if the power goes now.
    package func call<Value>(
        _ name: String,
        canFail: Bool = true,
        _ body: (inout Contents) throws(SystemError) -> Value
    ) throws(SystemError) -> Value {
        do throws(SystemError) {
            let value = try fallibly(name, canFail: canFail, body)
            if Self.changing.contains(name) { onCall(name) }
            return value
        } catch {
            onCall("\(error)")
            throw error
        }
    }

    private static let changing: Set = [
        "create", "rename", "unlink", "pwrite", "ftruncate", "fsync", "fdatasync",
    ]

    private func fallibly<Value>(
        _ name: String,
        canFail: Bool,
        _ body: (inout Contents) throws(SystemError) -> Value
    ) throws(SystemError) -> Value {
        try contents.withLock { (contents: inout Contents) throws(SystemError) -> Value in
            if let left = contents.faults.callsLeft {
                contents.faults.callsLeft = left - 1
                if left <= 0 { contents.isOff = true }
            }
            if contents.isOff {
                // What was being done when the power went may have been done.
                if contents.faults.callsLeft == -1 { _ = try? body(&contents) }
                throw SystemError(call: name, code: EIO)
            }
            let oneIn = contents.faults.errorOneIn
            if canFail, oneIn > 0, Int.random(in: 0..<oneIn, using: &contents.random) == 0 {
                throw SystemError(call: name, code: EIO)
            }
            return try body(&contents)
        }
    }

    package func names() throws(SystemError) -> [String] {
        try call("readdir", canFail: false) { $0.names.keys.sorted() }
    }

    package func open(_ name: String) throws(SystemError) -> any SpoolFile {
        try call("open") { contents throws(SystemError) in
            guard let number = contents.names[name] else { throw SystemError(call: "open", code: ENOENT) }
            return ModelFile(disk: self, number: number)
        }
    }

    package func create(_ name: String) throws(SystemError) -> any SpoolFile {
        try call("create") { contents throws(SystemError) in
            if contents.names[name] != nil { throw SystemError(call: "open", code: EEXIST) }
            contents.made += 1
            contents.images[contents.made] = Image()
            contents.names[name] = contents.made
            contents.entries.append(.add(name, contents.made))
            return ModelFile(disk: self, number: contents.made)
        }
    }

    package func rename(_ name: String, to other: String) throws(SystemError) {
        try call("rename") { contents throws(SystemError) in
            guard contents.names[name] != nil else { throw SystemError(call: "rename", code: ENOENT) }
            Self.apply(.rename(name, other), to: &contents.names)
            contents.entries.append(.rename(name, other))
        }
    }

    package func remove(_ name: String) throws(SystemError) {
        try call("unlink") { contents throws(SystemError) in
            guard contents.names[name] != nil else { throw SystemError(call: "unlink", code: ENOENT) }
            contents.names[name] = nil
            contents.entries.append(.remove(name))
        }
    }

    package func synchronize() throws(SystemError) {
        try call("fsync") { contents in
            contents.durableNames = contents.names
            contents.entries = []
        }
    }
}

/// A file of a ``ModelDisk``.
package final class ModelFile: SpoolFile {
    private let disk: ModelDisk
    private let number: Int

    init(disk: ModelDisk, number: Int) {
        self.disk = disk
        self.number = number
    }

    package func size() throws(SystemError) -> Int {
        try disk.call("fstat") { $0.images[number]?.seen.count ?? 0 }
    }

    package func read(at offset: Int, count: Int) throws(SystemError) -> [UInt8] {
        try disk.call("pread", canFail: false) { contents throws(SystemError) in
            let image = contents.images[number] ?? ModelDisk.Image()
            let end = min(image.seen.count, offset + count)
            if let bad = image.badRange, bad.overlaps(offset..<max(offset, end)) {
                throw SystemError(call: "pread", code: EIO)
            }
            return offset < end ? Array(image.seen[offset..<end]) : []
        }
    }

    package func write(_ bytes: [UInt8], at offset: Int) throws(SystemError) {
        try disk.call("pwrite") { contents in
            var image = contents.images[number] ?? ModelDisk.Image()
            if image.seen.count < offset + bytes.count {
                ModelDisk.resize(&image.seen, offset + bytes.count)
            }
            image.seen.replaceSubrange(offset..<offset + bytes.count, with: bytes)
            image.unsynced.append(.write(bytes, at: offset))
            contents.images[number] = image
        }
    }

    package func synchronize() throws(SystemError) {
        do throws(SystemError) {
            try disk.call("fdatasync") { contents throws(SystemError) in
                contents.syncs += 1
                if contents.failsNextSync {
                    contents.failsNextSync = false
                    throw SystemError(call: "fdatasync", code: EIO)
                }
                var image = contents.images[number] ?? ModelDisk.Image()
                // Not what is seen: an earlier sync may have forgotten a part of that.
                for change in image.unsynced { ModelDisk.apply(change, to: &image.durable) }
                image.unsynced = []
                contents.images[number] = image
            }
        } catch {
            // Nothing of it will ever be written, and the next call will not say so.
            disk.contents.withLock { contents in
                if !contents.isOff { contents.images[number]?.unsynced = [] }
            }
            throw error
        }
    }

    package func truncate(to size: Int) throws(SystemError) {
        try disk.call("ftruncate") { contents in
            var image = contents.images[number] ?? ModelDisk.Image()
            ModelDisk.resize(&image.seen, size)
            image.unsynced.append(.truncate(size))
            contents.images[number] = image
        }
    }

    package func reserve(bytes: Int) throws(SystemError) {
        try disk.call("fallocate") { contents throws(SystemError) in
            if ModelDisk.bytes(of: contents) + bytes > contents.faults.roomBytes {
                throw SystemError(call: "fallocate", code: ENOSPC)
            }
        }
    }
}
