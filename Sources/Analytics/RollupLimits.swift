/// What a rollup and the result that carries rollups hold at most.
package enum RollupLimits {
    /// Numeric fields of one rollup; see ``FieldSketches`` for which ones stay.
    package static let fieldsMax = 32
    /// Bytes of a field's name, a JSON pointer; longer ones are left out.
    package static let fieldNameBytesMax = 256
    /// Bytes of a type or source in a result; the service accepts events with up to 255 and 1,024.
    package static let keyBytesMax = 65_536
    /// Rollups of one result: far above what a job's events can make, and some 50 MB decoded.
    package static let rollupsMax = 262_144
}
