import Reactor
import TestSupport
import Testing

extension `End to end` {
    @Test func `has a doctor that says whether the service would work here, and what to do`() async throws {
        try await Installation.with { installation in
            let conninfo = try #require(installation.conninfo)
            let doctor = ["doctor", "--data", installation.data]

            // The cluster of the tests syncs nothing, so that they are quick.
            let lax = try await installation.run(doctor + ["--database", conninfo])
            #expect(lax.status == .exited(1), "\(lax.complaint)")
            #expect(lax.output.contains("FAIL  durability    fsync"), "\(lax.output)")
            for line in ["ok    database      PostgreSQL", "ok    schema", "ok    clock", "ok    workers"] {
                #expect(lax.output.contains(line), "\(lax.output)")
            }

            let secret = "host=127.0.0.1 port=1 password=hush"
            let gone = try await installation.run(doctor + ["--database", secret])
            #expect(gone.status == .exited(1))
            #expect(gone.output.contains("FAIL  database"), "\(gone.output)")
            #expect(!(gone.output + gone.complaint).contains("hush"))

            let nowhere = try await installation.run([
                "doctor", "--data", "/proc/none", "--database", conninfo,
            ])
            #expect(nowhere.status == .exited(1))
            #expect(nowhere.output.contains("FAIL  data          /proc/none: "), "\(nowhere.output)")

            let embedded = try await installation.run(doctor)
            #expect(embedded.status == .exited(0), "\(embedded.output)\(embedded.complaint)")
            #expect(embedded.output.contains("ok    database      embedded, with the programs in /"))
        }
    }
}
