//! `SERVER_STATUS_*`: what OK and EOF packets say of the session. Follows MySQL's "SERVER_STATUS_flags_enum".

use bitflags::bitflags;

bitflags! {
    /// Unknown bits are kept.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
    pub struct StatusFlags: u16 {
        /// A transaction is open.
        const IN_TRANS = 0x0001;
        /// Autocommit is on.
        const AUTOCOMMIT = 0x0002;
        /// Another resultset follows.
        const MORE_RESULTS_EXISTS = 0x0008;
        /// No good index was used.
        const NO_GOOD_INDEX_USED = 0x0010;
        /// No index was used.
        const NO_INDEX_USED = 0x0020;
        /// A cursor is open: rows come by COM_STMT_FETCH.
        const CURSOR_EXISTS = 0x0040;
        /// The cursor's last row was sent.
        const LAST_ROW_SENT = 0x0080;
        /// A database was dropped.
        const DB_DROPPED = 0x0100;
        /// Backslashes are no escapes.
        const NO_BACKSLASH_ESCAPES = 0x0200;
        /// A prepared statement's metadata changed.
        const METADATA_CHANGED = 0x0400;
        /// The query was slow.
        const QUERY_WAS_SLOW = 0x0800;
        /// The resultset holds a procedure's OUT parameters.
        const PS_OUT_PARAMS = 0x1000;
        /// The open transaction is read-only.
        const IN_TRANS_READONLY = 0x2000;
        /// Session state changes follow in the OK packet.
        const SESSION_STATE_CHANGED = 0x4000;

        const _ = !0;
    }
}
