/// What one connection holds of the memory for requests in flight.
///
/// Counted in steps: a connection with small requests touches the number that all loops share once when it
/// gets something to do, and once when it goes idle. Belongs to its connection.
struct MemoryShare: ~Copyable {
    private let load: ServerLoad
    private let bytesMax: Int
    private var counted = 0

    /// Enough for a small request: a pooled input, a pooled output, and a body that came with its head.
    private static let stepBytes = 3 * BufferPool.bufferBytes

    init(of load: ServerLoad, bytesMax: Int) {
        self.load = load
        self.bytesMax = bytesMax
    }

    deinit {
        assert(counted == 0, "a share is given back before its connection is let go")
    }

    /// Counts `bytes`, neither more nor less, whatever the others hold.
    ///
    /// For what is bounded by the number of connections and needed even to refuse a request.
    mutating func hold(_ bytes: Int) {
        let needed = Self.inSteps(bytes)
        if needed == counted { return }
        load.add(needed - counted)
        counted = needed
    }

    /// Has at least `bytes` counted, unless all connections together would hold too much.
    mutating func tryHold(_ bytes: Int) -> Bool {
        let needed = Self.inSteps(bytes)
        if needed <= counted { return true }
        guard load.take(needed - counted, max: bytesMax) else { return false }
        counted = needed
        return true
    }

    /// Gives all of it back.
    mutating func release() {
        if counted == 0 { return }
        load.give(counted)
        counted = 0
    }

    private static func inSteps(_ bytes: Int) -> Int {
        max(1, (bytes + stepBytes - 1) / stepBytes) * stepBytes
    }
}
