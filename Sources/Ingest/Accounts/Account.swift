/// The ways in that events are counted by; the raw value is the accounts' column and a metric's label.
enum AccountRoute: String, CaseIterable, Sendable {
    /// `POST /v1/events`.
    case events
    /// A reject that is stored after all: it was received, and counted as rejected, before.
    case replay
}

/// What events are counted by: the minute of their receipt, their way in and their key.
struct Account: Hashable, Sendable {
    /// Microseconds since 1970, a whole minute.
    let minute: Int64
    let route: AccountRoute
    /// 0 for none: numbers of keys begin at 1.
    let key: Int64

    private static let minuteLength: Int64 = 60_000_000

    init(receivedAt: Int64, route: AccountRoute, sender: Int64?) {
        let excess = receivedAt % Self.minuteLength
        minute = receivedAt - (excess < 0 ? excess + Self.minuteLength : excess)
        self.route = route
        key = sender ?? 0
    }
}

/// What one account has of a flush.
struct AccountShare: Equatable, Sendable {
    let account: Account
    /// Events that are sent to the table.
    var offered = 0
    /// Events that were known to be there before.
    var duplicates = 0
    /// Less than none for a replay, which takes rejects away.
    var rejected = 0
    var bytes = 0

    init(_ account: Account) { self.account = account }
}

/// The accounts of a flush.
///
/// Mostly it is one: what one client has sent within a minute.
struct AccountShares: Equatable, Sendable {
    private(set) var all: [AccountShare] = []
    /// Positions in `all`, once there are several.
    private var positions: [Account: Int] = [:]

    /// Changes the share of `account`, and returns its position.
    @discardableResult
    mutating func change(_ account: Account, _ change: (inout AccountShare) -> Void) -> Int {
        let position = position(of: account)
        change(&all[position])
        return position
    }

    /// Counts an event that is sent to the table.
    mutating func offer(at position: Int) { all[position].offered += 1 }

    /// Where the share of `account` is, which is made if there is none.
    mutating func position(of account: Account) -> Int {
        // Events of one request follow each other.
        if let last = all.indices.last, all[last].account == account { return last }
        if let known = positions[account] { return known }
        if all.count == 1 { positions[all[0].account] = 0 }
        all.append(AccountShare(account))
        if all.count > 1 { positions[account] = all.count - 1 }
        return all.count - 1
    }
}
