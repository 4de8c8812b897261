/// A bound of the server; the metric counts how often each of them was reached.
///
/// The raw value is the counter's place.
enum ServerLimit: Int, CaseIterable, Sendable {
    case bufferedBytes, connections, connectionsPerAddress

    /// The label of the metric.
    var name: String {
        switch self {
        case .bufferedBytes: "buffered_bytes"
        case .connections: "connections"
        case .connectionsPerAddress: "connections_per_address"
        }
    }
}
