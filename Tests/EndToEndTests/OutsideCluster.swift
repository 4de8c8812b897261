import Glibc
import Postgres
import Reactor
import TestSupport
import Testing

/// A PostgreSQL of one test's own, that the test starts and kills as it likes; nobody looks after it.
struct OutsideCluster: Sendable {
    private let loop: EventLoop
    private let configuration: EmbeddedClusterConfiguration
    let conninfo: String

    /// Makes the cluster; it does not run afterwards.
    init(_ installation: Installation) async throws {
        loop = installation.loop
        // Not a temporary one: what that has committed may be lost with its postmaster.
        configuration = EmbeddedClusterConfiguration(
            data: TestPaths.makeTemporaryDirectory(),
            trampoline: MillraceBinary.path
        )
        let cluster = EmbeddedCluster(configuration, loop: loop, logger: TestCluster.logger)
        conninfo = try await cluster.start(deadline: TestCluster.deadline)
        await cluster.stop(deadline: TestCluster.deadline)
    }

    func start() async throws {
        let cluster = EmbeddedCluster(configuration, loop: loop, logger: TestCluster.logger)
        _ = try await cluster.start(deadline: TestCluster.deadline)
        await cluster.abandon()
    }

    /// Kills the postmaster and waits until its backends have noticed.
    func kill() async throws {
        guard let pid else { return }
        #expect(Glibc.kill(pid, SIGKILL) == 0)
        try await until("the postmaster is gone", on: loop) { !ProcessTable.isRunning(pid) }
    }

    private var pid: Int32? {
        do throws(SystemError) {
            var reader = try FileReader(path: configuration.data + "/postgres/postmaster.pid")
            let text = String(decoding: try reader.readAll(bytesMax: 4_096), as: UTF8.self)
            return text.split(separator: "\n").first.flatMap { Int32($0) }
        } catch {
            return nil
        }
    }
}
