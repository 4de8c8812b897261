import HTTP
import Reactor

extension ConnectionIO {
    /// Reads the PROXY header that a connection begins with, which is not answered when it is missing.
    ///
    /// - Returns: `nil` when the connection has to end: it begins with something else, or ends
    ///   first, or the server drains and the rest has not come.
    /// - Throws: ``StreamError/timedOut`` when the header is not there by the deadline.
    func readProxyHeader(until deadline: Deadline) async throws(StreamError) -> ProxyHeader? {
        while true {
            do throws(ProxyHeaderError) {
                let header = try input.withReadable { (input) throws(ProxyHeaderError) in
                    try ProxyHeader.parse(input)
                }
                if let header {
                    input.consume(header.byteCount)
                    return header
                }
            } catch {
                return nil
            }
            switch try tryFill() {
            case .bytes: continue
            case .endOfStream: return nil
            case .wouldBlock:
                if isDraining { return nil }
                do throws(StreamError) {
                    try await stream.untilReadable(deadline: deadline)
                } catch {
                    if error == .timedOut { metrics.reached(.headTimeout) }
                    throw error
                }
            }
        }
    }
}

extension ProxyHeader.Source {
    /// Whom the header names; `nil` when the proxy speaks for itself.
    var address: SocketAddress? {
        switch self {
        case .address(let address, let port): SocketAddress(address, port: port)
        case .unix: .local
        case .proxy: nil
        }
    }
}
