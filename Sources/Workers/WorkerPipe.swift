import Reactor

/// A pipe between the supervisor and a child: our end as a stream, the child's as it is.
struct WorkerPipe: ~Copyable {
    enum Direction: Equatable {
        case toChild
        case fromChild
    }

    let ours: ByteStream
    let theirs: Descriptor

    /// Asked of the kernel: 64 KB frames collapse to a tenth of their rate on the default of 64 KiB.
    private static let capacityBytes = 1 << 20

    /// Opens a pipe, on the loop; `ours` is to be closed by whoever takes it.
    ///
    /// - Parameters:
    ///   - direction: Who writes.
    ///   - loop: Where `ours` lives.
    ///   - others: Streams to close when no pipe can be opened.
    /// - Throws: ``SystemError`` when descriptors have run out.
    init(
        _ direction: Direction,
        on loop: EventLoop,
        closingOnFailure others: [ByteStream] = []
    ) throws(SystemError) {
        do throws(SystemError) {
            try self.init(opening: direction, on: loop)
        } catch {
            for stream in others { stream.close() }
            throw error
        }
    }

    private init(opening direction: Direction, on loop: EventLoop) throws(SystemError) {
        let pipe = try Pipe()
        pipe.write.requestPipeCapacity(bytes: Self.capacityBytes)
        var near: Descriptor?
        var far: Descriptor?
        pipe.split { (read: consuming Descriptor, write: consuming Descriptor) in
            switch direction {
            case .toChild:
                near = consume write
                far = consume read
            case .fromChild:
                near = consume read
                far = consume write
            }
        }
        guard let near = near.take(), let far = far.take() else { preconditionFailure("a pipe has two ends") }
        ours = try ByteStream(near, on: loop)
        theirs = far
    }
}
