// Spool: a bounded log on the local disk, for events that cannot go to the database now.
//
// An append returns when its records are durable; many wait for one fdatasync. Segments are made and written
// with zeros ahead of time, on a thread of its own, so that an append changes no metadata. What was appended
// is read back in order, and forgotten when its reader says that it is safe elsewhere. SpoolState decides
// where things go, SpoolRecovery puts a spool back in order after whatever happened to it, SegmentScanner
// reads over damage, SpoolFinder finds a record again, SpoolDisk is where the file system could be another
// one. Nothing here knows what the payloads are, nor any database.

import CoreMetrics
package import Logging
package import Reactor

/// The log; an actor whose loop does nothing else, because its calls wait for the disk.
package actor Spool {
    nonisolated private let loop: EventLoop
    private let ahead: SparePreparer
    private let disk: any SpoolDisk
    nonisolated private let limits: SpoolLimits
    private let logger: Logger
    private let metrics = SpoolMetrics()
    private let shared = SharedFacts()
    private var state: SpoolState
    private var cursor: SpoolCursor
    private let cursorFile: any SpoolFile
    private var active: (any SpoolFile)?
    private var queue = AppendQueue()
    private var isCommitting = false
    private var isClosed = false
    private var reader: SpoolReader
    private var finder: SpoolFinder
    private var withheld: WithheldRecords

    nonisolated package var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

    /// What the database knows this spool by.
    nonisolated package let identity: UInt128
    /// What was found when it was opened.
    nonisolated package let report: SpoolReport
    /// The longest payload that it takes, in bytes.
    nonisolated package var payloadBytesMax: Int { limits.payloadBytesMax }
    /// As it is now; from any thread.
    nonisolated package var facts: SpoolFacts { shared.value }

    /// Opens the spool on `disk`, recovering what is there.
    ///
    /// Both loops are its own: `loop` for reading and writing, `ahead` for making segments. With
    /// `fingerprints` its events can be looked up.
    package static func open(
        on disk: any SpoolDisk,
        limits: SpoolLimits,
        fingerprints: @escaping SpoolFingerprints = { _ in [] },
        loop: EventLoop,
        ahead: EventLoop,
        logger: Logger
    ) async throws(SystemError) -> Spool {
        let opener = SpoolOpener(loop: loop)
        let outcome = try await opener.recover(disk, limits, fingerprints).get()
        let spool = Spool(disk, outcome, limits: limits, loop: loop, ahead: ahead, logger: logger)
        await spool.begin()
        return spool
    }

    private init(
        _ disk: any SpoolDisk,
        _ outcome: SpoolRecovery.Outcome,
        limits: SpoolLimits,
        loop: EventLoop,
        ahead: EventLoop,
        logger: Logger
    ) {
        self.disk = disk
        finder = outcome.finder
        withheld = outcome.withheld
        self.limits = limits
        self.loop = loop
        self.logger = logger
        self.ahead = SparePreparer(disk: disk, limits: limits, loop: ahead)
        state = outcome.state
        cursor = outcome.cursor
        cursorFile = outcome.cursorFile
        report = outcome.report
        identity = outcome.cursor.identity
        reader = SpoolReader(disk: disk, limits: limits, next: outcome.state.position)
    }

    private func begin() {
        let found = report
        metrics.found(found)
        if found.records > 0 || found.damages > 0 || found.recordsLost > 0 {
            logger.notice(
                "opened the spool",
                metadata: [
                    "records": "\(found.records)", "events": "\(found.events)",
                    "torn_tails": "\(found.tornTails)",
                ]
            )
        }
        if found.damages > 0 || found.recordsLost > 0 {
            logger.error(
                "the spool is damaged",
                metadata: [
                    "places": "\(found.damages)", "bytes": "\(found.damagedBytes)",
                    "records_lost": "\(found.recordsLost)",
                ]
            )
        }
        makeSpareIfDue()
        publish()
    }

    // MARK: Appending

    /// Appends the entries in order and returns when all of them are durable.
    package func append(_ entries: [SpoolEntry]) async throws(SpoolError) {
        if entries.isEmpty { return }
        let bytes = entries.reduce(0) { $0 + AppendQueue.bytes(of: $1) }
        precondition(
            entries.allSatisfy { $0.payload.count <= limits.payloadBytesMax },
            "a payload has its limit"
        )
        if isClosed { throw .closed }
        if bytes > state.room - queue.bytes { throw refused(.full) }
        if !queue.isEmpty, queue.bytes + bytes > limits.waitingBytesMax { throw refused(.overloaded) }
        let result = await withUnsafeContinuation { answer in
            queue.add(entries, bytes: bytes, answer)
            if !isCommitting {
                isCommitting = true
                // Behind the appends that the loop has been handed already: they share one fdatasync.
                Task(executorPreference: loop) { await self.commit() }
            }
        }
        try result.get()
    }

    private func refused(_ error: SpoolError) -> SpoolError {
        metrics.refused.increment()
        publish()
        return error
    }

    /// Writes what waits, group by group, as far as there is a segment for it.
    private func commit() {
        isCommitting = false
        while !queue.isEmpty {
            let group = queue.nextGroup(bytesMax: min(limits.groupBytesMax, limits.segmentBytes))
            switch state.place(group.bytes, salt: UInt32(truncatingIfNeeded: Dice.roll())) {
            case .write(let offset): write(group, at: offset)
            case .roll(let name): roll(to: name)
            case .wait:
                makeSpareIfDue()
                publish()
                return
            case .refuse: queue.finish(group, .failure(refused(.full)))
            }
            makeSpareIfDue()
        }
        publish()
    }

    private func write(_ group: AppendQueue.Group, at offset: Int) {
        guard let active, let name = state.segments.last?.name else {
            preconditionFailure("an active segment is open")
        }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(group.bytes)
        var starts: [Int] = []
        for (place, entry) in group.entries.enumerated() {
            starts.append(offset + bytes.count)
            RecordHeader.append(
                entry,
                sequence: state.next + UInt64(place),
                groupIndex: place,
                salt: name.salt,
                to: &bytes
            )
        }
        do throws(SystemError) {
            try active.write(bytes, at: offset)
            try active.synchronize()
        } catch {
            state.poisoned()
            self.active = nil
            metrics.failed.increment()
            logger.error("the spool cannot write", metadata: ["segment": "\(name)", "reason": "\(error)"])
            queue.finish(group, .failure(.failed(error)))
            return
        }
        state.committed(bytes: group.bytes, entries: group.entries)
        for (start, entry) in zip(starts, group.entries) { finder.note(entry.payload, in: name, at: start) }
        metrics.wrote(group.entries, bytes: group.bytes)
        // Before anybody is told, so that whoever is told finds it there.
        publish()
        queue.finish(group, .success(()))
    }

    /// Makes the spare the active segment.
    private func roll(to name: SegmentName) {
        do throws(SystemError) {
            try disk.rename(SpoolNames.spare, to: "\(name)")
            try disk.synchronize()
            let opened = try disk.open("\(name)")
            state.activated(name)
            active = opened
        } catch {
            state.activationFailed(name)
            active = nil
            failedToMake(error)
        }
    }

    // MARK: Segments to come

    private func makeSpareIfDue() {
        guard !isClosed, state.beginsSpare() else { return }
        // Ends with the file.
        Task(executorPreference: loop) { await self.makeSpare() }
    }

    private func makeSpare() async {
        do throws(SystemError) {
            try await ahead.make().get()
            state.spareMade()
        } catch {
            state.spareRefused()
            failedToMake(error)
        }
        commit()
    }

    private func failedToMake(_ error: SystemError) {
        metrics.failed.increment()
        logger.error("the spool cannot make a segment", metadata: ["reason": "\(error)"])
        // Ends after the pause.
        Task(executorPreference: loop) { await self.retry() }
    }

    private func retry() async {
        await loop.sleep(for: limits.retry)
        state.retries()
        makeSpareIfDue()
        publish()
    }

    // MARK: Draining

    /// Marks of records that have not been drained: attempts whose outcome somebody should find out.
    package var pendingMarks: Set<UInt64> { withheld.marks.union(state.pendingMarks) }

    /// One past the last sequence that is known to be drained.
    package var position: UInt64 { state.position }

    /// The records behind those that were read last; `nil` when there are none.
    package func next(bytesMax: Int, eventsMax: Int) -> SpoolBatch? {
        guard !isClosed else { return nil }
        let damages = reader.damages
        let batch = reader.read(state, bytesMax: bytesMax, eventsMax: eventsMax)
        for name in reader.damaged { state.damaged(name) }
        if reader.damages > damages {
            metrics.damages.increment(by: reader.damages - damages)
            logger.error("the spool is damaged", metadata: ["places": "\(reader.damages - damages)"])
        }
        if let failure = reader.failure {
            metrics.failed.increment()
            logger.error("the spool cannot read", metadata: ["reason": "\(failure)"])
        }
        return batch
    }

    /// What was read up to `position` is safe elsewhere: it is forgotten here.
    package func drained(to position: UInt64, events: Int) {
        let target = min(max(position, state.position), state.next)
        let removals = state.drained(to: target, events: events)
        for removal in removals { finder.forget(removal.name) }
        cursor.position = state.position
        cursor.version += 1
        do throws(SystemError) {
            try cursorFile.write(cursor.bytes, at: cursor.slotOffset)
            try cursorFile.synchronize()
            for removal in removals { try carryOut(removal) }
            if !removals.isEmpty { try disk.synchronize() }
        } catch {
            // The database knows the position too, and what is read again is stored once all the same.
            logger.warning("the spool's position was not kept", metadata: ["reason": "\(error)"])
        }
        makeSpareIfDue()
        publish()
    }

    private func carryOut(_ removal: SpoolState.Removal) throws(SystemError) {
        switch removal {
        case .remove(let name): try disk.remove("\(name)")
        case .keepAside(let name): try disk.rename("\(name)", to: name.aside)
        }
    }

    // MARK: Withholding

    /// Keeps a record that was read aside, so that those behind it can be drained.
    ///
    /// Durable when it returns; the record counts as pending, and is read again as long as the position is
    /// not moved behind it.
    ///
    /// - Throws: ``SpoolError/full`` when too many are withheld already, ``SpoolError/failed(_:)``.
    package func withhold(_ record: SpooledRecord) throws(SpoolError) {
        if isClosed { throw .closed }
        try withheld.add(record)
        metrics.withheld.increment()
        publish()
    }

    /// The sequences of the records that are withheld, in order.
    package var withheldSequences: [UInt64] { withheld.sequences }

    /// One of them; `nil` when the disk does not give it back.
    package func withheldRecord(_ sequence: UInt64) -> SpooledRecord? { withheld.record(sequence) }

    /// The record that was withheld is safe elsewhere.
    package func release(_ sequence: UInt64) {
        do throws(SystemError) {
            try withheld.remove(sequence)
        } catch {
            // The database knows that it has it, and says so when it is tried again.
            logger.warning("a withheld record was not forgotten", metadata: ["reason": "\(error)"])
        }
        publish()
    }

    // MARK: Looking up

    /// What `look` finds in the newest record with this fingerprint in which it finds anything.
    ///
    /// Only records that have not been drained are looked at. `look` gets their payloads one after the other,
    /// on the spool's loop.
    package func search<Found>(
        _ fingerprint: UInt32,
        _ look: @Sendable ([UInt8]) -> Found?
    ) -> SpoolSearch<Found> {
        let found = finder.search(fingerprint, in: state, look)
        if case .found = found { return found }
        let other = withheld.search(fingerprint, look)
        if case .absent = other { return found }
        return other
    }

    /// Reads again from the position on, which the database says is at least `position`.
    package func rewind(to position: UInt64) {
        reader.rewind(to: state.position)
        while state.position < min(position, state.next) {
            // What the database had already is only counted.
            guard let batch = reader.read(state, bytesMax: 1 << 20, eventsMax: .max, below: position) else {
                break
            }
            drained(to: batch.to, events: batch.events)
        }
        reader.rewind(to: state.position)
    }

    // MARK: The end

    /// Refuses what waits and what comes; what is durable stays.
    package func close() {
        isClosed = true
        queue.dismissAll()
        active = nil
        publish()
    }

    private func publish() {
        let facts = SpoolFacts(
            events: state.pendingEvents + withheld.events,
            bytes: state.bytes + withheld.bytes,
            segments: state.segments.count,
            isFull: isClosed || state.isFull,
            withheldEvents: withheld.events
        )
        shared.value = facts
    }
}
