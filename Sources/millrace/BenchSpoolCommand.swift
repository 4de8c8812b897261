import ArgumentParser
import Logging
import Reactor
import Spool

/// `millrace bench-spool`: how fast the disk takes what the spool appends.
struct BenchSpoolCommand: ProgramCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench-spool",
        abstract: "Measure appends to a spool, each durable before the next one of its client.",
        shouldDisplay: false
    )

    @Option(help: "A folder for the spool.") var data: String
    @Option(help: "Clients that append at once.") var clients = 16
    @Option(help: "Bytes of one append.") var bytes = 4_096
    @Option(help: "How long, in seconds.") var seconds = 4
    @Option(help: "Bytes of a segment.") var segment = SpoolLimits().segmentBytes
    @Flag(help: "Print the number of each append once it is durable.")
    var list = false

    func execute(_ surroundings: Surroundings) async throws(CommandFailure) -> Int32 {
        let spool: Spool
        do throws(SystemError) {
            var limits = SpoolLimits()
            limits.bytesMax = 64 << 30
            limits.segmentBytes = segment
            spool = try await Spool.open(
                on: try LockedFolder(path: data),
                limits: limits,
                loop: try EventLoop(name: "spool"),
                ahead: try EventLoop(name: "spool-ahead"),
                logger: Logger(label: "millrace")
            )
        } catch {
            throw CommandFailure("bench-spool: \(error)")
        }
        let end = Deadline.after(.seconds(seconds))
        let started = Deadline.now()
        let appended = await withTaskGroup(of: Int.self) { group in
            for client in 0..<clients {
                group.addTask { await append(to: spool, client: client, until: end) }
            }
            return await group.reduce(0, +)
        }
        let elapsed = Deadline.now().duration(since: started) / .seconds(1)
        Measurement.print("spool appends", Double(appended) / elapsed, "appends/s")
        Measurement.print("spool bytes", Double(appended * bytes) / elapsed / 1e6, "MB/s")
        await spool.close()
        return Exit.success
    }

    /// Appends one entry after another; what each holds is its number and nothing else.
    private func append(to spool: Spool, client: Int, until end: Deadline) async -> Int {
        var count = 0
        while Deadline.now() < end {
            let number = client * 1_000_000_000 + count
            var payload = Array("\(number) ".utf8)
            payload.append(contentsOf: repeatElement(UInt8(ascii: "x"), count: max(0, bytes - payload.count)))
            do throws(SpoolError) {
                try await spool.append([SpoolEntry(payload: payload, events: 1)])
            } catch {
                Output.complain("bench-spool: \(error)")
                return count
            }
            count += 1
            if list { Output.say("\(number)") }
        }
        return count
    }
}
