import Testing

@testable import millrace

@Suite struct `The doctor` {
    private func facts(_ change: (inout DatabaseCheck.Facts) -> Void = { _ in }) -> DatabaseCheck.Facts {
        var facts = DatabaseCheck.Facts()
        facts.version = 150_018
        facts.settings = ["fsync": "on", "full_page_writes": "on", "synchronous_commit": "on"]
        facts.connectionsLeft = 90
        change(&facts)
        return facts
    }

    /// The subjects that are not fine, with their grades.
    private func wrong(_ change: (inout DatabaseCheck.Facts) -> Void) -> [String] {
        DatabaseCheck.findings(facts(change), writers: 2).filter { $0.grade != .fine }
            .map { "\($0.grade.rawValue) \($0.subject)" }
    }

    @Test func `finds nothing wrong with a database as it should be`() {
        #expect(wrong { _ in } == [])
        #expect(wrong { $0.version = 140_000 } == [])
        #expect(wrong { $0.connectionsLeft = 18 } == [])
        #expect(wrong { $0.clockAhead = .seconds(-2) } == [])
        #expect(wrong { $0.settings["synchronous_commit"] = "remote_apply" } == [])
    }

    @Test func `names what would break a promise as a failure, and what is only slow or scarce as a warning`()
    {
        #expect(wrong { $0.version = 130_022 } == ["FAIL database"])
        #expect(wrong { $0.isReadOnly = true } == ["FAIL database"])
        for setting in ["fsync", "full_page_writes", "synchronous_commit"] {
            #expect(wrong { $0.settings[setting] = "off" } == ["FAIL durability"], "\(setting)")
        }
        #expect(wrong { $0.connectionsLeft = 17 } == ["warn connections"])
        #expect(wrong { $0.clockAhead = .milliseconds(2_001) } == ["warn clock"])
        #expect(wrong { $0.clockAhead = .seconds(-3) } == ["warn clock"])
        #expect(wrong { $0.roundTrip = .milliseconds(6) } == ["warn round trip"])
    }

    @Test func `judges descriptors, room and the disk's honesty`() {
        #expect(MachineCheck.descriptors(10_256, connectionsMax: 10_000).grade == .fine)
        #expect(MachineCheck.descriptors(10_255, connectionsMax: 10_000).grade == .warning)
        #expect(MachineCheck.room(1 << 30, in: "/d").grade == .fine)
        #expect(MachineCheck.room(1 << 30 - 1, in: "/d").grade == .warning)
        #expect(MachineCheck.synchronization(.microseconds(19), in: "/d").grade == .warning)
        #expect(MachineCheck.synchronization(.microseconds(130), in: "/d").grade == .fine)
        #expect(MachineCheck.synchronization(.milliseconds(21), in: "/d").grade == .warning)
    }

    @Test func `says what to do below what it has found`() {
        let finding = Finding.failure("disk", "full", "Empty it.")
        #expect(finding.lines == ["FAIL  disk          full", "                    Empty it."])
        #expect(Finding.fine("disk", "empty").lines == ["ok    disk          empty"])
    }
}
