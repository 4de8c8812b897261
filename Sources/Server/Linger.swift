import Reactor

extension ConnectionIO {
    private static let lingerMax = Duration.seconds(5)
    private static let lingerSilenceMax = Duration.seconds(1)
    private static let lingerBytesMax = 64 << 20

    /// Lets the client read the last answer: reads what it still sends, `bytesMax` or 64 MiB of it, until it
    /// is silent for a second, or for five seconds.
    ///
    /// Closing while its bytes are still unread would reset the connection and take the answer with it
    /// (RFC 9112 9.6). Many a client reads only once it has sent a whole body.
    func linger(bytesMax: Int) async {
        stream.shutdownWrites()
        let end = Deadline.after(Self.lingerMax)
        var discarded = 0
        while discarded < min(bytesMax, Self.lingerBytesMax) {
            input.removeAll()
            let deadline = min(end, .after(Self.lingerSilenceMax))
            guard case .success(let count) = await fill(until: deadline), count > 0 else { return }
            discarded += count
            if isDue(after: count) { await makeWay() }
        }
    }
}
