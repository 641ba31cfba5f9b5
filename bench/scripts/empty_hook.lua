-- Sees every command, does nothing with it.

function read_query(packet) end
