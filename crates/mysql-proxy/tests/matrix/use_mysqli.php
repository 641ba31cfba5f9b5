<?php
// mysqli of PHP, on mysqlnd: the text and the binary protocol. Arguments HOST PORT USER PASSWORD CA, where `-` is no TLS; a
// line of JSON for each result. The database has the user's name.
[, $host, $port, $user, $password, $ca] = $argv;
$statements = file(__DIR__ . '/statements.sql', FILE_IGNORE_NEW_LINES);
$large = str_repeat('2 MB! ', 349526);
mysqli_report(MYSQLI_REPORT_ERROR | MYSQLI_REPORT_STRICT);

function plain($value) {
    if (is_array($value)) return array_map('plain', $value);
    if (is_object($value)) return plain(get_object_vars($value));
    if (!is_string($value)) return $value;
    if (strlen($value) > 1000) return [strlen($value), hash('sha256', $value)];
    return is_text($value) ? $value : bin2hex($value);
}

function is_text($value) {
    return preg_match('//u', $value) === 1;
}

function show(...$what) {
    echo json_encode(plain($what), JSON_UNESCAPED_UNICODE | JSON_PRESERVE_ZERO_FRACTION | JSON_THROW_ON_ERROR), "\n";
}

// Shows what the action gives or throws.
function attempt($name, $action) {
    try {
        show(substr($name, 0, 40), $action());
        return true;
    } catch (mysqli_sql_exception $error) {
        show(substr($name, 0, 40), $error->getCode(), $error->getSqlState(), $error->getMessage());
        return false;
    }
}

function login($password) {
    global $host, $port, $user, $ca;
    $mysqli = mysqli_init();
    $flags = 0;
    if ($ca !== '-') {
        $mysqli->ssl_set(null, null, $ca, null, null);
        $mysqli->options(MYSQLI_OPT_SSL_VERIFY_SERVER_CERT, true);
        $flags = MYSQLI_CLIENT_SSL;
    }
    $mysqli->real_connect($host, $user, $password, $user, (int) $port, null, $flags);
    $mysqli->set_charset('utf8mb4');
    return $mysqli;
}

// A row and, of each column, what the server said.
function result($result) {
    if (!$result instanceof mysqli_result) return $result;
    return [$result->fetch_all(), $result->fetch_fields()];
}

function query($mysqli, $sql) {
    $shown = [];
    $mysqli->multi_query($sql);
    do {
        $shown[] = [result($mysqli->store_result()), $mysqli->affected_rows, $mysqli->insert_id, $mysqli->warning_count];
    } while ($mysqli->more_results() && $mysqli->next_result());
    return $shown;
}

function execute($mysqli, $sql, $values) {
    $statement = $mysqli->prepare($sql);
    $statement->execute($values);
    $shown = [];
    do {
        $shown[] = [result($statement->get_result()), $statement->affected_rows];
    } while ($statement->more_results() && $statement->next_result());
    $statement->close();
    return $shown;
}

$mysqli = null;
$connected = attempt('login', function () use (&$mysqli, $password) {
    $mysqli = login($password);
    return 'ok';
});
if (!$connected) exit;
foreach ($statements as $sql) attempt($sql, fn() => query($mysqli, $sql));
attempt('large', fn() => query($mysqli, "SELECT LENGTH('$large'), '$large'"));
foreach ([
    ['SELECT ?, ?, ?', [1, 'ü', null]],
    ['SELECT * FROM types', []],
    ['SELECT LENGTH(?), 1', [$large]],
    ['SELECT * FROM missing', []],
    ['CALL half(?, @c)', [84]],
    ['SELECT @c', []],
] as [$sql, $values]) attempt($sql, fn() => execute($mysqli, $sql, $values));
attempt('ping', fn() => @$mysqli->ping());
attempt('change_user', fn() => $mysqli->change_user($user, $password, $user));
attempt('behind it', fn() => query($mysqli, 'SELECT DATABASE(), @c'));
$mysqli->close();
$connected = attempt('second login', function () use (&$mysqli, $password) {
    $mysqli = login($password);
    return 'ok';
});
if ($connected) {
    show('cipher', $mysqli->query("SHOW SESSION STATUS LIKE 'Ssl_cipher'")->fetch_row()[1]);
    $mysqli->close();
}
attempt('wrong password', fn() => login('wrong') && 'ok');
