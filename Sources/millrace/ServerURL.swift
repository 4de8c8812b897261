/// Where a server is, as people write it: `http://host:port/prefix`, or `unix:PATH`.
struct ServerURL: Equatable, Sendable, CustomStringConvertible {
    let address: ListenAddress
    /// What is put in front of every path; empty, or `/…` without a slash at its end.
    let prefix: String
    /// The Unix socket to connect to instead of the address; `nil` for none.
    let socketPath: String?

    enum Malformation: Error, Equatable, Sendable {
        /// TLS is terminated in front of the service; this client does not speak it.
        case encrypted
        case malformed
    }

    init(_ text: String) throws(Malformation) {
        if case .unix(let path)? = ListenTarget(text) {
            self.init(socketPath: path)
            return
        }
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
        self.init(address: address, prefix: String(prefix), socketPath: nil)
    }

    init(address: ListenAddress) {
        self.init(address: address, prefix: "", socketPath: nil)
    }

    /// Over a Unix socket the name of the host says nothing; this one means this machine.
    init(socketPath: String) {
        self.init(address: ListenAddress(host: "localhost", port: 80), prefix: "", socketPath: socketPath)
    }

    private init(address: ListenAddress, prefix: String, socketPath: String?) {
        self.address = address
        self.prefix = prefix
        self.socketPath = socketPath
    }

    static let standard = ServerURL(address: ListenAddress(host: "127.0.0.1", port: 8080))

    /// The server that the command line names, or the environment, or the one on this machine.
    init(given text: String?, _ surroundings: Surroundings) throws(CommandFailure) {
        guard let text = text ?? surroundings.variable("MILLRACE_URL") else {
            let listen = surroundings.variable("MILLRACE_LISTEN")?.split(separator: ",").first
            switch listen.flatMap({ ListenTarget(String($0.trimmed)) }) {
            case .tcp(let address)? where address.port != 0: self.init(address: address.reachable)
            case .unix(let path)?: self.init(socketPath: path)
            case .tcp, nil: self = .standard
            }
            return
        }
        do throws(Malformation) {
            self = try ServerURL(text)
        } catch {
            let reason =
                switch error {
                case .encrypted: "https is not spoken here; use the address behind the proxy"
                case .malformed: "not of the form http://host:port or unix:PATH"
                }
            throw CommandFailure(Exit.usage, "\(text): \(reason)")
        }
    }

    /// Hosts to connect to, in turn.
    ///
    /// `localhost` has two addresses, and a server often listens on one of them only.
    var hosts: [String] { address.host == "localhost" ? ["127.0.0.1", "[::1]"] : [address.host] }

    var description: String { socketPath.map { "unix:\($0)" } ?? "http://\(address)\(prefix)" }
}
