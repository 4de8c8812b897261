/// All series by the name of their family and their labels.
///
/// The same label and dimensions always lead to the same cell, so that any number of connections or loops
/// may make "their" counter. Cells stay for good: a counter that vanished and came back would look like a
/// restart.
struct MetricRegistry {
    private(set) var families: [String: [String: MetricCell]] = [:]
    private(set) var seriesCount = 0
    /// Metrics that were not taken: too many, or a name that another kind has.
    private(set) var omitted = 0
    let seriesMax: Int

    init(seriesMax: Int) { self.seriesMax = seriesMax }

    /// The cell of that series: the one there is, or `fresh`, which is left out of the export when the name
    /// belongs to another kind or there are too many series.
    mutating func cell(
        _ name: String,
        _ labels: String,
        or fresh: @autoclosure () -> MetricCell
    ) -> MetricCell {
        if let known = families[name]?[labels] { return known }
        let made = fresh()
        let sibling = families[name]?.values.first
        guard seriesCount < seriesMax, sibling == nil || sibling?.typeName == made.typeName else {
            omitted += 1
            return made
        }
        families[name, default: [:]][labels] = made
        seriesCount += 1
        return made
    }
}
