import Glibc
import Reactor
import TestSupport

/// Keeps one service running as an init system does: whenever it ends, it is started again, and nothing else
/// is ever done for it.
actor ChaosNode {
    nonisolated let number: Int
    private let installation: Installation
    private let arguments: [String]
    private let ledger: ChaosLedger
    private var program: RunningProgram?
    private(set) var service: RunningService?
    private(set) var starts = 0
    private var lastSignal: CInt?
    private var pause = Duration.zero
    private var isEnding = false

    nonisolated var unownedExecutor: UnownedSerialExecutor { installation.loop.asUnownedSerialExecutor() }

    init(_ number: Int, installation: Installation, arguments: [String], ledger: ChaosLedger) {
        self.number = number
        self.installation = installation
        self.arguments = arguments
        self.ledger = ledger
    }

    /// Runs it until ``end()``.
    func keep() async {
        while !isEnding {
            lastSignal = nil
            pause = .milliseconds(200)
            do {
                let program = try await installation.start(arguments)
                self.program = program
                await untilListening(program)
                note(await program.exit(deadline: .never), program)
            } catch {
                ledger.complain("service \(number) cannot be started: \(error)")
            }
            program = nil
            service = nil
            if !isEnding { await installation.loop.sleep(for: pause) }
        }
    }

    private func untilListening(_ program: RunningProgram) async {
        do {
            let service = try await RunningService(program, on: installation.loop)
            starts += 1
            self.service = service
        } catch {
            // It has ended, because PostgreSQL was away for one; or it hangs.
            if await program.hasEnded { return }
            await installation.loop.sleep(for: .seconds(1))
            if await program.hasEnded { return }
            ledger.complain("service \(number) hangs at its start: \(error)")
            lastSignal = SIGKILL
            await program.signal(SIGKILL)
        }
    }

    /// Ends it in order, for good.
    func end() async {
        isEnding = true
        await signal(SIGTERM)
    }

    /// Ends it at once, for good.
    func kill() async {
        isEnding = true
        await signal(SIGKILL)
    }

    /// Signals the service, if there is one; one that dies of it is down for `pause`.
    func signal(_ signal: CInt, down pause: Duration? = nil) async {
        guard let program else { return }
        // What has been killed is not ended in order any more.
        if signal == SIGKILL || signal == SIGTERM && lastSignal != SIGKILL { lastSignal = signal }
        if let pause { self.pause = pause }
        await program.signal(signal)
    }

    /// Ends by itself only what has been told to, cannot start, or was buried by the others.
    private func note(_ status: ExitStatus?, _ program: RunningProgram) {
        switch (status, lastSignal) {
        case (.signaled(SIGKILL), SIGKILL), (.exited(0), SIGTERM), (.exited(1), nil): break
        default:
            let ended = status.map { "\($0)" } ?? "no status"
            let signal = lastSignal.map { "signal \($0)" } ?? "no signal"
            ledger.complain("service \(number) ended with \(ended) after \(signal)\n\(program.log())")
        }
    }
}
