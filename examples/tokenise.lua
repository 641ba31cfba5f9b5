-- Prints the shape of every statement: its words, with a question mark for each constant.
--
-- Statements that differ in their constants only have one shape; slow logs and statistics group by it.

local tokenizer = require("mysql.tokenizer")

local constants = { TK_STRING = true, TK_INTEGER = true, TK_FLOAT = true }

local function shape(sql)
    local tokens, words = tokenizer.tokenize(sql), {}
    for i = 1, #tokens do
        local token = tokens[i]
        if constants[token.token_name] then
            words[#words + 1] = "?"
        elseif token.token_name:find("^TK_SQL_") or token.token_name == "TK_FUNCTION" then
            words[#words + 1] = token.text:upper()
        elseif token.token_name ~= "TK_COMMENT" then
            words[#words + 1] = token.text
        end
    end
    return table.concat(words, " ")
end

function read_query(packet)
    if packet:byte() == proxy.COM_QUERY then
        print("shape: " .. shape(packet:sub(2)))
    end
end
