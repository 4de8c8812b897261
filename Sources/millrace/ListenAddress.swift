/// Where a server listens or is reached: a host name or address, an IPv6 one in brackets, and a port.
struct ListenAddress: Hashable, Sendable, CustomStringConvertible {
    let host: String
    let port: UInt16

    init(host: String, port: UInt16) {
        self.host = host
        self.port = port
    }

    /// Reads `host:port` or `[address]:port`; `nil` for anything else.
    init?(_ text: String) {
        guard let colon = text.lastIndex(of: ":") else { return nil }
        let host = text[..<colon]
        let digits = text[text.index(after: colon)...]
        guard let port = Self.port(digits), !host.isEmpty, !host.contains(where: \.isWhitespace) else {
            return nil
        }
        let isBracketed = host.hasPrefix("[") && host.hasSuffix("]") && host.count > 2
        // More colons without brackets are an IPv6 address, and nobody knows where its port begins.
        if !isBracketed, host.contains(where: { ":[]/@".contains($0) }) { return nil }
        self.init(host: String(host), port: port)
    }

    static func port(_ digits: Substring) -> UInt16? {
        digits.utf8.allSatisfy { 0x30...0x39 ~= $0 } ? UInt16(digits) : nil
    }

    var description: String { "\(host):\(port)" }

    /// Where a client on this machine reaches a server that listens here: every address includes its own.
    var reachable: ListenAddress {
        switch host {
        case "0.0.0.0": ListenAddress(host: "127.0.0.1", port: port)
        case "[::]": ListenAddress(host: "[::1]", port: port)
        default: self
        }
    }
}
