//! `enum_field_types`: how a value of the binary protocol is laid out. Follows MySQL's "field_types.h".

/// `MYSQL_TYPE_*`. An unknown byte is kept as a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ColumnType(pub u8);

macro_rules! column_types {
    ($($constant:ident = $byte:literal;)*) => {
        impl ColumnType {
            $(#[doc = concat!("`MYSQL_TYPE_", stringify!($constant), "`")] pub const $constant: Self = Self($byte);)*

            /// Every type that the documents list.
            pub const ALL: &'static [Self] = &[$(Self::$constant),*];
        }
    };
}

column_types! {
    DECIMAL = 0;
    TINY = 1;
    SHORT = 2;
    LONG = 3;
    FLOAT = 4;
    DOUBLE = 5;
    NULL = 6;
    TIMESTAMP = 7;
    LONGLONG = 8;
    INT24 = 9;
    DATE = 10;
    TIME = 11;
    DATETIME = 12;
    YEAR = 13;
    VARCHAR = 15;
    BIT = 16;
    VECTOR = 242;
    JSON = 245;
    NEWDECIMAL = 246;
    ENUM = 247;
    SET = 248;
    TINY_BLOB = 249;
    MEDIUM_BLOB = 250;
    LONG_BLOB = 251;
    BLOB = 252;
    VAR_STRING = 253;
    STRING = 254;
    GEOMETRY = 255;
}
