import Analytics
import Server

/// A file of the dashboard or of the interface's description, as it is built into the program.
struct StaticPage: Sendable {
    let path: String
    let contentType: String
    let bytes: [UInt8]
    /// The same in gzip: made once, so as small as it gets.
    private let gzipped: [UInt8]?
    /// In quotes; of the bytes alone.
    let tag: String

    /// The pages and what they load.
    static let all = [
        StaticPage("/", "text/html; charset=utf-8", PackageResources.index_html),
        StaticPage("/dashboard.css", "text/css; charset=utf-8", PackageResources.dashboard_css),
        StaticPage("/dashboard.js", "text/javascript; charset=utf-8", PackageResources.dashboard_js),
        StaticPage("/docs", "text/html; charset=utf-8", PackageResources.docs_html),
        StaticPage("/docs.css", "text/css; charset=utf-8", PackageResources.docs_css),
        StaticPage("/docs.js", "text/javascript; charset=utf-8", PackageResources.docs_js),
        StaticPage("/openapi.json", "application/json", PackageResources.openapi_json),
    ]

    /// Nothing of another host, nothing inline but the icon, nobody's frame.
    private static let contentPolicy =
        "default-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; "
        + "frame-ancestors 'none'; object-src 'none'"

    private init(_ path: String, _ contentType: String, _ bytes: [UInt8]) {
        self.path = path
        self.contentType = contentType
        self.bytes = bytes
        gzipped = Gzip.compress(bytes, level: Gzip.smallest)
        tag = "\"" + String(hash64(bytes.span), radix: 16) + "\""
    }

    /// The file, or 304 when the client has it.
    func response(ifNoneMatch: String?) -> Response {
        // Always asked for again: the files change together, with the program.
        var fields = [("ETag", tag), ("Cache-Control", "no-cache")]
        let known = (ifNoneMatch ?? "").split(separator: ",").map { $0.drop { $0 == " " } }
        if known.contains(where: { $0 == "*" || $0 == tag || $0 == "W/" + tag }) {
            return Response(status: 304, contentType: nil, fields: fields, bytes: [])
        }
        fields += [
            ("X-Content-Type-Options", "nosniff"), ("Referrer-Policy", "no-referrer"),
            (
                "Content-Security-Policy",
                Self.contentPolicy
            ),
        ]
        var response = Response(contentType: contentType, fields: fields, bytes: bytes)
        response.gzipped = gzipped
        return response
    }
}
