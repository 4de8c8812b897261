import HTTP
import Reactor
import Server

// GET /v1/stats/series

extension InsightRoutes {
    func series(_ parameters: ReadParameters) async throws(ReadError) -> Response {
        let query = try SeriesQuery(
            parameters,
            now: WallClock.microseconds(),
            pointsMax: limits.seriesPointsMax
        )
        let points = try await SeriesReader(reader: reader, limits: limits).points(query)

        var writer = JSONWriter()
        writer.beginObject()
        writer.member("metric", query.metric.rawValue)
        writer.member("type", query.type)
        writer.member("source", query.source)
        if let field = query.field { writer.member("field", field) }
        writer.member("from", time: query.from)
        writer.member("to", time: query.to)
        writer.member("step_s", query.stepSeconds)
        writer.key("points")
        writer.beginArray()
        for (index, value) in points.enumerated() {
            writer.beginObject()
            writer.member("time", time: query.firstBucket + Int64(index) * query.step)
            writer.key("value")
            if let value { writer.double(value) } else { writer.null() }
            writer.endObject()
        }
        writer.endArray()
        writer.endObject()
        return Response(fields: [("Cache-Control", "no-store")], bytes: writer.finish())
    }
}
