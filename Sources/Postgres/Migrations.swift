extension Migration {
    /// Every migration, in order.
    ///
    /// SwiftPM embeds the files of the folder `migrations` (its name for one is the file's, with `_` for what
    /// no identifier begins with or holds); a test compares this list with the folder.
    package static let all: [Migration] = [
        embedded(1, "events", PackageResources._001_events_sql),
        embedded(2, "jobs", PackageResources._002_jobs_sql),
        embedded(3, "one_brin", PackageResources._003_one_brin_sql),
        embedded(4, "keys", PackageResources._004_keys_sql),
        embedded(5, "traces", PackageResources._005_traces_sql),
        embedded(6, "rejects", PackageResources._006_rejects_sql),
        embedded(7, "spools", PackageResources._007_spools_sql),
        embedded(8, "accounts", PackageResources._008_accounts_sql),
        embedded(9, "levels", PackageResources._009_levels_sql),
        embedded(10, "analyses", PackageResources._010_analyses_sql),
    ]

    private static func embedded(_ version: Int, _ name: String, _ bytes: [UInt8]) -> Migration {
        Migration(version: version, name: name, sql: String(decoding: bytes, as: UTF8.self))
    }
}
