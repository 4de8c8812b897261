/// AWP/1 frames, as a worker might send them: the same messages however the stream is cut.
enum Fuzzer {
    private struct Outcome: Equatable {
        var frames: [Frame] = []
        /// Why the stream could not be read on, or might not end where it did.
        var error: FrameError?
    }

    private static let limits = {
        var limits = FrameLimits()
        limits.headerBytesMax = 512
        limits.bodyBytesMax = 256
        limits.messageBytesMax = 1_024
        return limits
    }()

    static func run(_ bytes: [UInt8]) {
        let whole = outcome(bytes) { $0 }
        var cuts = Cuts(bytes)
        let cut = outcome(bytes) { cuts.next(of: $0) }
        check(whole == cut, "\(whole) as a whole, \(cut) in pieces")
        for frame in whole.frames { check(frame) }
    }

    private static func outcome(_ bytes: [UInt8], _ next: (Int) -> Int) -> Outcome {
        var decoder = FrameDecoder(limits: limits)
        var input = ReadBuffer(capacity: 0)
        var outcome = Outcome()
        var come = 0
        do throws(FrameError) {
            while come < bytes.count {
                let piece = next(bytes.count - come)
                input.append(Array(bytes[come..<come + piece]))
                come += piece
                while let frame = try decoder.next(from: &input) { outcome.frames.append(frame) }
                check(input.isEmpty, "what is no whole frame is kept by the decoder")
            }
            try decoder.finish()
        } catch {
            outcome.error = error
        }
        return outcome
    }

    /// A message keeps to the limits, comes back from its frame, and is understood or refused by either side.
    private static func check(_ frame: Frame) {
        check(frame.header.count <= limits.headerBytesMax, "a header above the limit")
        check(frame.body.count <= limits.messageBytesMax, "a message above the limit")
        var output: [UInt8] = []
        FrameEncoder(bodyBytesMax: limits.bodyBytesMax).append(frame, to: &output)
        check(outcome(output) { $0 } == Outcome(frames: [frame]), "\(frame) does not come back")

        if let message = try? SupervisorMessage(frame) { check(message) }
        guard let message = try? WorkerMessage(frame) else { return }
        let again = try? WorkerMessage(message.frame(sequence: frame.sequence))
        check(again == message, "\(message) comes back as \(String(describing: again))")
    }

    private static func check(_ isTrue: Bool, _ what: @autoclosure () -> String) {
        if !isTrue { fatalError(what()) }
    }

    private static func check(_ message: SupervisorMessage) {
        guard case .hello(let hello) = message else { return }
        check(hello.frameBytesMax > 0, "a frame carries at least one byte")
        let again = try? SupervisorMessage(SupervisorMessage.frame(for: hello))
        check(again == message, "\(message) does not come back")
    }
}
