/// Where a server is, as people write it: `http://host:port/prefix`.
struct ServerURL: Equatable, Sendable, CustomStringConvertible {
    let address: ListenAddress
    /// What is put in front of every path; empty, or `/…` without a slash at its end.
    let prefix: String

    enum Malformation: Error, Equatable, Sendable {
        /// TLS is terminated in front of the service; this client does not speak it.
        case encrypted
        case malformed
    }

    init(_ text: String) throws(Malformation) {
        let lowercased = text.lowercased()
        if lowercased.hasPrefix("https://") { throw .encrypted }
        let rest = lowercased.hasPrefix("http://") ? text.dropFirst(7) : text[...]
        let authority = rest.prefix { $0 != "/" }
        var prefix = rest[authority.endIndex...]
        while prefix.hasSuffix("/") { prefix.removeLast() }
        // A blank or a control character would end the request's line.
        guard prefix.utf8.allSatisfy({ 0x21...0x7E ~= $0 }),
            !prefix.contains(where: { $0 == "?" || $0 == "#" })
        else { throw .malformed }
        let hasPort = authority.last != "]" && authority.contains(":")
        guard let address = ListenAddress(hasPort ? String(authority) : authority + ":80"), address.port != 0
        else { throw .malformed }
        self.address = address
        self.prefix = String(prefix)
    }

    init(address: ListenAddress) {
        self.address = address
        prefix = ""
    }

    static let standard = ServerURL(address: ListenAddress(host: "127.0.0.1", port: 8080))

    /// The server that the command line names, or the environment, or the one on this machine.
    init(given text: String?, _ surroundings: Surroundings) throws(CommandFailure) {
        guard let text = text ?? surroundings.variable("MILLRACE_URL") else {
            let listen = surroundings.variable("MILLRACE_LISTEN")?.split(separator: ",").first
            let address = listen.flatMap { ListenAddress(String($0.trimmed)) }
            self = address.map { $0.port == 0 ? .standard : ServerURL(address: $0.reachable) } ?? .standard
            return
        }
        do throws(Malformation) {
            self = try ServerURL(text)
        } catch {
            let reason =
                switch error {
                case .encrypted: "https is not spoken here; use the address behind the proxy"
                case .malformed: "not of the form http://host:port"
                }
            throw CommandFailure(Exit.usage, "\(text): \(reason)")
        }
    }

    /// Hosts to connect to, in turn.
    ///
    /// `localhost` has two addresses, and a server often listens on one of them only.
    var hosts: [String] { address.host == "localhost" ? ["127.0.0.1", "[::1]"] : [address.host] }

    var description: String { "http://\(address)\(prefix)" }
}
