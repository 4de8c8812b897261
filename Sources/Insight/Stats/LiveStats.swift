import HTTP
import Reactor
import Server

// GET /v1/stats/live

extension InsightRoutes {
    /// The statistics once a second, from the next one on.
    func liveStats(_ parameters: ReadParameters) throws(ReadError) -> Response {
        guard let listener = live.listen() else {
            throw .overloaded("All places for listeners are taken. Try again shortly.")
        }
        return Response(events: listener)
    }

    /// Gives the statistics to all who listen, made once for all of them out of the sampler's last look.
    ///
    /// Called after each look.
    package func sendLiveStats() async {
        if live.listeners == 0 { return }
        let now = Deadline.now()
        let view = await sampler.view(at: now)
        guard let snapshot = view.snapshot else { return }
        let answer = await answer(snapshot, isFresh: view.failure == nil, view, at: now)
        var event: [UInt8] = []
        ServerSentEvent.append(data: answer.json().span, to: &event)
        live.send(event)
    }
}
