import HTTP

/// Decides who is let in, and what for.
///
/// - Before the first key: this machine's clients alone, for everything, unless the service is open.
/// - Afterwards: who presents a key with the route's scope.
/// - Open: everybody; a key is checked only where one is presented.
package struct AccessControl: Sendable {
    package let ring: KeyRing
    package let isOpen: Bool

    package init(ring: KeyRing = KeyRing(), isOpen: Bool = false) {
        self.ring = ring
        self.isOpen = isOpen
    }

    enum Verdict {
        case allowed(Principal?)
        case refused(Refusal)

        var principal: Principal? {
            if case .allowed(let principal) = self { return principal }
            return nil
        }
    }

    struct Refusal {
        let status: Int
        let code: String
        let detail: String
        var fields: [(String, String)] = []
    }

    func check(_ head: RequestHead, from client: Client, for access: Access) -> Verdict {
        let hasKeys = ring.hasKeys
        if !isOpen, !hasKeys, let refusal = Self.checkLocal(head, client, access) { return .refused(refusal) }
        guard case .scope(let scope) = access else { return .allowed(nil) }
        switch Credential(head) {
        case .absent: return isOpen || !hasKeys ? .allowed(nil) : .refused(Self.missing)
        case .unreadable: return .refused(Self.invalid)
        case .queryKey where scope != .write: return .refused(Self.misplaced)
        case .key(let key), .queryKey(let key):
            guard let principal = ring.principal(of: KeyDigest(of: key)) else {
                return .refused(Self.invalid)
            }
            return check(principal, head, scope)
        }
    }

    private func check(_ principal: Principal, _ head: RequestHead, _ scope: Scopes) -> Verdict {
        guard principal.key.scopes.isSuperset(of: scope) else {
            let needed = scope.names.joined(separator: " ")
            return .refused(
                Refusal(
                    status: 403,
                    code: "insufficient_scope",
                    detail: "This needs a key with the scope \(needed).",
                    fields: Self.challenge("error=\"insufficient_scope\", scope=\"\(needed)\"")
                )
            )
        }
        if let origin = head.origin, !principal.key.allows(origin: origin) {
            return .refused(Self.foreign)
        }
        return .allowed(principal)
    }

    /// Without keys, a request has to come from this machine and to mean it: not from a page of another site
    /// in a browser here, nor, where there is something to read or to change, under a name that somebody has
    /// pointed at us.
    private static func checkLocal(_ head: RequestHead, _ client: Client, _ access: Access) -> Refusal? {
        let mustNameUs = access != .anyone && access != .scope(.write)
        guard client.isLocal, !mustNameUs || head.namesLocalHost else {
            return Refusal(
                status: 403,
                code: "loopback_only",
                detail: "Only clients on this machine are answered until there is a key "
                    + "(millrace keys create). Start with --open to let others in."
            )
        }
        if let origin = head.origin, !head.isSameOrigin(origin) { return foreign }
        return nil
    }

    private static let missing = Refusal(
        status: 401,
        code: "missing_key",
        detail: "Send a key: Authorization: Bearer KEY, X-API-Key: KEY, or Basic with the key as the user.",
        fields: challenge(nil)
    )
    private static let invalid = Refusal(
        status: 401,
        code: "invalid_key",
        detail: "This key is not known, or no longer.",
        fields: challenge("error=\"invalid_token\"")
    )
    private static let misplaced = Refusal(
        status: 401,
        code: "key_in_query",
        detail: "A key in the query is good for sending events only.",
        fields: challenge("error=\"invalid_request\"")
    )
    private static let foreign = Refusal(
        status: 403,
        code: "origin_not_allowed",
        detail: "Pages of this origin may not do this."
    )

    /// RFC 6750 3.
    private static func challenge(_ parameters: String?) -> [(String, String)] {
        [("WWW-Authenticate", "Bearer realm=\"millrace\"" + (parameters.map { ", " + $0 } ?? ""))]
    }

    // MARK: Pages of other origins (Fetch, "HTTP extensions")

    /// What lets a page of another origin read the answer; none without an `Origin`.
    func sharing(with head: RequestHead, _ principal: Principal?) -> [(String, String)] {
        guard let origin = head.origin else { return [] }
        let exposed = "X-Request-Id, Retry-After, RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset"
        if let principal, principal.key.shares(with: origin) {
            return [
                ("Access-Control-Allow-Origin", origin), ("Access-Control-Expose-Headers", exposed),
                ("Vary", "Origin"),
            ]
        }
        if isOpen, principal == nil {
            return [("Access-Control-Allow-Origin", "*"), ("Access-Control-Expose-Headers", exposed)]
        }
        return []
    }

    /// The answer's fields to a browser that asks beforehand.
    func preflight(_ head: RequestHead, allow: String) -> [(String, String)] {
        guard let origin = head.origin, head.value(.requestMethod) != nil else { return [] }
        let isExpected = ring.expects(origin: origin)
        guard isOpen || isExpected else { return [] }
        return [
            ("Access-Control-Allow-Origin", isExpected ? origin : "*"),
            ("Access-Control-Allow-Methods", allow),
            (
                "Access-Control-Allow-Headers",
                "Authorization, Content-Type, Content-Encoding, X-API-Key, X-Request-Id, traceparent"
            ),
            ("Access-Control-Max-Age", "600"), ("Vary", "Origin"),
        ]
    }
}

extension RequestHead {
    var origin: String? { value(.origin).map(string) }

    /// The authority that the client believes to talk to.
    private var host: String? { (authority ?? value(.host)).map(string) }

    /// Whether the client used a name that can only mean this machine.
    var namesLocalHost: Bool {
        guard let host else { return true }
        let name: Substring
        if host.hasPrefix("[") {
            name = host.dropFirst().prefix { $0 != "]" }
        } else {
            name = host.prefix { $0 != ":" }
        }
        if name.isEmpty || name == "::1" || name.lowercased() == "localhost" { return true }
        let numbers = name.split(separator: ".", omittingEmptySubsequences: false).map { UInt8($0) }
        return numbers.count == 4 && numbers.allSatisfy { $0 != nil } && numbers[0] == 127
    }

    func isSameOrigin(_ origin: String) -> Bool {
        guard let host else { return false }
        return origin == "http://" + host || origin == "https://" + host
    }
}
