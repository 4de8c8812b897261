// Answers that last: server-sent events, until the client leaves, does not read, or the server stops.

import HTTP
import Reactor

extension Response {
    /// The events that the listener is given, as they come.
    package init(events listener: EventListener) {
        self.init(
            contentType: "text/event-stream",
            fields: [("Cache-Control", "no-store")],
            stream: { writer throws(StreamError) in
                try await writer.writeEvents(of: listener.queue)
                withExtendedLifetime(listener) {}
            }
        )
    }
}

extension ResponseWriter {
    /// Writes events as they come, and a comment when there was none for `HTTPLimits.heartbeatInterval`.
    ///
    /// Returns when the server drains.
    ///
    /// - Throws: ``StreamError/closed`` when the client is gone, ``StreamError/timedOut`` when it does not
    ///   read.
    fileprivate func writeEvents(of queue: EventQueue) async throws(StreamError) {
        let stream = io.stream
        queue.onNews { stream.loop.post { stream.wakeReader() } }
        while !io.isDraining {
            try io.readAhead()
            let events = queue.take()
            if !events.isEmpty {
                try await write(events.count == 1 ? events[0] : Array(events.joined()))
            } else if try await !io.waitInSilence(until: .after(io.limits.heartbeatInterval), unless: queue) {
                try await write(Self.heartbeat)
            }
        }
    }

    private static let heartbeat: [UInt8] = {
        var comment: [UInt8] = []
        ServerSentEvent.appendComment("", to: &comment)
        return comment
    }()
}

extension ConnectionIO {
    /// Reads what the client sends while its answer lasts: a next request, which is kept, or its end.
    ///
    /// - Throws: ``StreamError/closed`` when it is gone, and when it sends more than a head.
    fileprivate func readAhead() throws(StreamError) {
        while true {
            switch try tryFill() {
            case .bytes: if input.count > limits.headBytesMax { throw .closed }
            case .endOfStream: throw .closed
            case .wouldBlock: return
            }
        }
    }

    /// Waits with an answer that has nothing to say; `false` at the deadline, `true` when there are events or
    /// the server drains.
    fileprivate func waitInSilence(
        until deadline: Deadline,
        unless queue: EventQueue
    ) async throws(StreamError) -> Bool {
        while !isDraining, queue.isEmpty {
            // Finds nothing where something else has woken the reader.
            try readAhead()
            if input.isEmpty { releaseBuffers() }
            do throws(StreamError) {
                try await stream.untilReadable(deadline: deadline)
            } catch {
                if error == .timedOut { return false }
                throw error
            }
        }
        return true
    }
}
