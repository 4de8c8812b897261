import Glibc
import Reactor

/// Runs PostgreSQL's programs for one cluster, as its account, their output in the cluster's log.
///
/// On the loop only.
struct ClusterPrograms: Sendable {
    let layout: ClusterLayout
    let configuration: EmbeddedClusterConfiguration
    let loop: EventLoop

    // MARK: The log

    var logSize: Int { ClusterFiles.size(layout.log) }

    /// The last lines that came after `offset`, for an error's text.
    func endOfLog(from offset: Int) -> String {
        let lines = ClusterFiles.read(layout.log, from: offset)?.split(separator: "\n").suffix(4) ?? []
        return (["see \(layout.log)"] + lines.map(String.init)).joined(separator: "; ")
    }

    // MARK: Programs

    /// Makes the cluster under another name first, so that a crash leaves no half of one.
    func initialize(_ deadline: Deadline) async throws(EmbeddedClusterError) {
        let unfinished = layout.unfinishedCluster
        try await run(["/bin/rm", "-rf", "--", unfinished], deadline)
        do throws(SystemError) {
            try ClusterFiles.makeDirectory(unfinished, permissions: 0o700)
            if let user = layout.user { try ClusterFiles.changeOwner(unfinished, to: user) }
        } catch {
            throw .unusableData("no room for the database (\(error)): choose another --data")
        }
        var command = [
            layout.programs + "/initdb", "--pgdata=" + unfinished, "--username=" + configuration.database,
            "--auth=trust", "--encoding=UTF8", "--no-locale", "--data-checksums",
        ]
        if configuration.isTemporary { command.append("--no-sync") }
        try await run(command, deadline)
        do throws(SystemError) {
            try ClusterFiles.move(unfinished, to: layout.cluster)
        } catch {
            throw .unusableData("the new database could not get its name: \(error)")
        }
    }

    /// lz4 costs little and halves full-page images, but a server may be built without it.
    func findWALCompression() async -> String {
        let command = [
            layout.programs + "/postgres", "-D", layout.cluster, "-C", "wal_compression", "-c",
            "wal_compression=lz4",
        ]
        do throws(EmbeddedClusterError) {
            let child = try spawn(makeLaunch(command), output: "/dev/null")
            return await child.waitForExit() == .exited(0) ? "lz4" : "on"
        } catch {
            return "on"
        }
    }

    /// Starts the server, which goes on when this process is killed.
    func startServer(walCompression: String) throws(EmbeddedClusterError) -> ChildProcess {
        if logSize > configuration.logBytesMax {
            // Without room for it the log goes on where it was.
            try? ClusterFiles.move(layout.log, to: layout.log + ".1")
        }
        let settings = configuration.settings(
            socketDirectory: layout.socketDirectory,
            memoryBytes: ClusterFiles.memoryBytes(),
            walCompression: walCompression
        )
        var launch = makeLaunch(
            [layout.programs + "/postgres", "-D", layout.cluster] + settings.flatMap { ["-c", $0] }
        )
        launch.diesWithParent = configuration.isTemporary || configuration.diesWithParent
        launch.newSession = true
        return try spawn(launch, output: layout.log)
    }

    // MARK: Children

    private func makeLaunch(_ command: [String]) -> ChildProcess.Launch {
        var launch = ChildProcess.Launch(
            command: command,
            environment: ["PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"],
            trampoline: configuration.trampoline
        )
        launch.user = layout.user
        launch.workingDirectory = "/"
        return launch
    }

    private func spawn(
        _ launch: ChildProcess.Launch,
        output: String
    ) throws(EmbeddedClusterError) -> ChildProcess {
        do throws(SystemError) {
            let file = try ClusterFiles.openForAppending(output)
            return try ChildProcess.spawn(launch, inherited: [1: file.raw, 2: file.raw], on: loop)
        } catch {
            throw .failed("\(launch.command[0]) cannot be started: \(error)")
        }
    }

    /// Runs a program to its end.
    private func run(_ command: [String], _ deadline: Deadline) async throws(EmbeddedClusterError) {
        let logOffset = logSize
        let child = try spawn(makeLaunch(command), output: layout.log)
        // Ends at the deadline or with the program.
        let killer = Task(executorPreference: loop) {
            await loop.sleep(until: deadline)
            if !Task.isCancelled { child.signalGroup(SIGKILL) }
        }
        let status = await child.waitForExit()
        killer.cancel()
        if status == .exited(0) { return }
        throw .failed("\(command[0]) ended with \(status): \(endOfLog(from: logOffset))")
    }
}
