package import HTTP

/// Answers one kind of request.
///
/// Runs on the connection's loop; a handler that does not suspend is a plain call.
package typealias Handler = @Sendable (Request, BodyReader) async -> Response

/// Finds the handler of a request by its method and path.
package struct Router: Sendable {
    struct Route: Sendable {
        let segments: [Segment]
        /// Its place in ``Router/patterns``, from 1.
        let label: Int
        /// The raw path that the route matches without any decoding; `nil` for a pattern with parameters.
        let literal: [UInt8]?
        /// Not tuples: a closure in a generic tuple is called through thunks, at an allocation a call.
        var handlers: [MethodHandler]

        func handler(of method: HTTP.Method) -> MethodHandler? {
            for entry in handlers where entry.method == method { return entry }
            return nil
        }

        var allow: String {
            var names = handlers.map(\.method.name)
            if names.contains("GET") { names.append("HEAD") }
            return (names + ["OPTIONS"]).joined(separator: ", ")
        }
    }

    struct MethodHandler: Sendable {
        let method: HTTP.Method
        let access: Access
        let handler: Handler
    }

    enum Segment: Equatable, Sendable {
        case literal(String)
        case parameter(String)
    }

    enum Match {
        case handler(Handler, Access, label: Int, parameters: [String: String])
        /// The path exists, with other methods.
        case methodNotAllowed(allow: String)
        case options(allow: String)
        case notFound
    }

    /// One thing that can be asked for: a method of a path, and who may.
    package struct Entry: Equatable, Sendable {
        package let method: HTTP.Method
        package let pattern: String
        package let access: Access
    }

    private var routes: [Route] = []
    private var patterns: [String] = []

    package init() {}

    /// Adds a handler for `pattern`, as `/v1/events/{id}`: a `{name}` stands for one path segment.
    ///
    /// A GET handler answers HEAD too. Literal routes win over patterns.
    package mutating func add(
        _ method: HTTP.Method,
        _ pattern: String,
        for access: Access,
        _ handler: @escaping Handler
    ) {
        let entry = MethodHandler(method: method, access: access, handler: handler)
        let segments = pattern.split(separator: "/", omittingEmptySubsequences: true).map { part -> Segment in
            part.hasPrefix("{") ? .parameter(String(part.dropFirst().dropLast())) : .literal(String(part))
        }
        if let index = routes.firstIndex(where: { $0.segments == segments }) {
            routes[index].handlers.append(entry)
            return
        }
        patterns.append(pattern)
        let isLiteral = segments.allSatisfy { if case .literal = $0 { true } else { false } }
        let route = Route(
            segments: segments,
            label: patterns.count,
            literal: isLiteral ? Array(pattern.utf8) : nil,
            handlers: [entry]
        )
        if isLiteral { routes.insert(route, at: 0) } else { routes.append(route) }
    }

    /// The pattern whose handler has marked its loop with `label`; `nil` for none.
    package func pattern(label: Int) -> String? {
        patterns.indices.contains(label - 1) ? patterns[label - 1] : nil
    }

    /// All that has been added, in no order that means anything.
    package var entries: [Entry] {
        routes.flatMap { route in
            route.handlers.map {
                Entry(method: $0.method, pattern: patterns[route.label - 1], access: $0.access)
            }
        }
    }

    func match(_ head: RequestHead) -> Match {
        for route in routes {
            guard let literal = route.literal, literal.count == head.path.count else { continue }
            if head.bytes.span.extracting(head.path).isEqual(to: literal.span) {
                return Self.choose(route, head.method, parameters: [:])
            }
        }
        return matchDecoded(head)
    }

    private func matchDecoded(_ head: RequestHead) -> Match {
        let path = head.bytes.span.extracting(head.path)
        if head.path.count == 1, path[0] == UInt8(ascii: "*") {
            return head.method == .options ? .options(allow: "GET, HEAD, POST, OPTIONS") : .notFound
        }
        // An encoded slash stays within its segment: ids may hold one, and segments are never joined again.
        guard let segments = percentDecodedPath(path, allowingEncodedSlash: true) else { return .notFound }
        for route in routes {
            if let parameters = Self.parameters(of: route.segments, in: segments) {
                return Self.choose(route, head.method, parameters: parameters)
            }
        }
        return .notFound
    }

    private static func choose(
        _ route: Route,
        _ method: HTTP.Method,
        parameters: [String: String]
    ) -> Match {
        let found = route.handler(of: method) ?? (method == .head ? route.handler(of: .get) : nil)
        if let found {
            return .handler(found.handler, found.access, label: route.label, parameters: parameters)
        }
        switch method {
        case .options: return .options(allow: route.allow)
        default: break
        }
        return .methodNotAllowed(allow: route.allow)
    }

    private static func parameters(of pattern: [Segment], in segments: [String]) -> [String: String]? {
        guard pattern.count == segments.count else { return nil }
        var parameters: [String: String] = [:]
        for (expected, actual) in zip(pattern, segments) {
            switch expected {
            case .literal(let text): if text != actual { return nil }
            case .parameter(let name):
                if actual.isEmpty { return nil }
                parameters[name] = actual
            }
        }
        return parameters
    }
}

extension Span<UInt8> {
    func isEqual(to other: Span<UInt8>) -> Bool {
        guard count == other.count else { return false }
        for index in indices where self[index] != other[index] { return false }
        return true
    }
}
