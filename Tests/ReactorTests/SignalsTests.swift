import Glibc
import Reactor
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(1))) struct `Signals of the process` {
    /// In a process of its own: the tests' own signals stay as they are.
    ///
    /// The main thread there waits as a program's does, which once took every signal for itself and died of
    /// it.
    @Test func `are received instead of ending the process`() async {
        await #expect(processExitsWith: .exitCode(7)) {
            let loop = try EventLoop(name: "signals")
            let numbers = try await OnLoop(loop).run {
                let signals = try Signals([SIGTERM, SIGUSR1], on: loop)
                kill(getpid(), SIGTERM)
                let first = await signals.next()
                kill(getpid(), SIGUSR1)
                let second = await signals.next()
                signals.close()
                return [first, second]
            }
            exit(numbers == [SIGTERM, SIGUSR1] ? 7 : 1)
        }
    }
}
