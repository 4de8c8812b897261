import Events
import Glibc

/// Jobs that break a worker in every way a supervisor must survive, and an echo to measure the pipes by.
///
/// Offered only with `MILLRACE_WORKER_FAULTS=1` in the environment, which only tests and measurements set.
struct FaultKind: Sendable {
    static let names = ["fault", "echo"]

    /// The descriptor that replies go out on.
    let replies: CInt

    /// The ways to fail, as `params.mode` names them.
    enum Mode: String, CaseIterable {
        case exit0, exit1, segv, kill, stop, hang, slow, garbage, oversized, good
        case closesStdout = "closes-stdout"
        case closesReplies = "closes-replies"
        case stderrFlood = "stderr-flood"
        case stdoutLine = "stdout-line"
        case grandchild
        case grandchildSession = "grandchild-session"
        case secondResult = "second-result"
        case wrongToken = "wrong-token"
        case partialFrame = "partial-frame"
        case criticalFrame = "critical-frame"
        case unknownFrame = "unknown-frame"
        case deafToTerm = "deaf-to-term"
        case leaves
    }

    /// Does the damage, and returns the bytes to send if the process is still there.
    func run(_ job: JobOrder, _ sequence: UInt32) -> [UInt8] {
        let result = WorkerMessage.result(
            token: job.token,
            encoding: "raw",
            body: job.body,
            residentBytes: nil
        )
        let good = Self.bytes(result.frame(sequence: sequence))
        guard job.kind == "fault" else { return good }
        guard let mode = job.parameters["mode"]?.string.flatMap(Mode.init(rawValue:)) else {
            let failure = WorkerMessage.fail(token: job.token, cause: .permanent, message: "no such mode")
            return Self.bytes(failure.frame(sequence: sequence))
        }
        return end(mode) ?? bytes(mode, job, sequence, good: good)
    }

    /// Ends or suspends the process, for the modes that do; `nil` for the others.
    private func end(_ mode: Mode) -> [UInt8]? {
        switch mode {
        case .exit0: exit(0)
        case .exit1: exit(1)
        case .segv: raise(SIGSEGV)
        case .kill: raise(SIGKILL)
        case .stop: raise(SIGSTOP)
        case .hang: hang()
        case .deafToTerm:
            signal(SIGTERM, SIG_IGN)
            hang()
        case .closesReplies:
            close(replies)
            hang()
        case .grandchild:
            _ = system("sleep 30 &")
            exit(1)
        case .grandchildSession:
            _ = system("setsid sleep 5 &")
            exit(1)
        case .slow, .garbage, .oversized, .good, .closesStdout, .stderrFlood, .stdoutLine, .secondResult,
            .wrongToken, .partialFrame, .criticalFrame, .unknownFrame, .leaves:
            return nil
        }
    }

    private func bytes(_ mode: Mode, _ job: JobOrder, _ sequence: UInt32, good: [UInt8]) -> [UInt8] {
        switch mode {
        case .garbage: return Array("Traceback (most recent call last):\n".utf8)
        case .oversized: return [0x7f, 0xff, 0xff, 0xff, 0x20, 0, 0, 0, 0, 0, 0, 0]
        case .secondResult: return good + good
        case .wrongToken:
            let wrong = WorkerMessage.result(
                token: job.token &+ 1,
                encoding: "raw",
                body: [],
                residentBytes: nil
            )
            return Self.bytes(wrong.frame(sequence: sequence)) + good
        case .criticalFrame: return Self.bytes(Frame(FrameType(rawValue: 0xf0), sequence: sequence))
        case .unknownFrame: return Self.bytes(Frame(FrameType(rawValue: 0x70), sequence: sequence)) + good
        case .leaves: return Self.bytes(WorkerMessage.bye(reason: "memory").frame(sequence: 0))
        case .closesStdout:
            close(1)
            close(2)
        case .stderrFlood:
            let line = String(repeating: "x", count: 1023)
            for _ in 0..<(32 << 10) { puts(line) }
            fflush(nil)
        case .stdoutLine:
            puts("a stray line")
            fflush(nil)
        case .slow:
            for byte in good.dropLast() {
                _ = Glibc.write(replies, [byte], 1)
                usleep(1000)
            }
            return Array(good.suffix(1))
        case .partialFrame:
            _ = Glibc.write(replies, good, good.count - 1)
            exit(0)
        case .exit0, .exit1, .segv, .kill, .stop, .hang, .deafToTerm, .closesReplies, .grandchild,
            .grandchildSession, .good:
            break
        }
        return good
    }

    private func raise(_ signal: CInt) -> Never {
        // Again and again: the Swift runtime's crash handler returns from the first SIGSEGV.
        while true { _ = Glibc.kill(getpid(), signal) }
    }

    private func hang() -> Never {
        while true { pause() }
    }

    private static func bytes(_ frame: Frame) -> [UInt8] {
        var output: [UInt8] = []
        FrameEncoder().append(frame, to: &output)
        return output
    }
}
