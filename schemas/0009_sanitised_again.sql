-- Earlier versions stored secrets of SIP messages: keys of SDP, passwords in URIs, tokens in headers. Text of messages from
-- before is emptied, here, once; the ladder of a call stays. In calls and streams what may be a secret is cut off.
--
-- These are mutations: a server works on them in the background (system.mutations) and removes the parts from before
-- after `old_parts_lifetime`, 8 minutes unless changed. No probe of an earlier version may write any more.

ALTER TABLE {database}.sip_messages{local} {on_cluster}
    UPDATE
        headers = '',
        sdp = '',
        reason = replaceRegexpOne(toString(reason), '([:=]).*$', '\\1***'),
        method = extract(toString(method), '^\\S*'),
        call_id = extract(call_id, '^\\S*')
    WHERE headers != '' OR sdp != '';

ALTER TABLE {database}.calls{local} {on_cluster}
    UPDATE
        call_id = extract(call_id, '^\\S*'),
        caller_uri = replaceRegexpOne(replaceRegexpOne(caller_uri, '(;|,|=|[?]|%3[aA]).*@', '@'), '@.*@', '@'),
        callee_uri = replaceRegexpOne(replaceRegexpOne(callee_uri, '(;|,|=|[?]|%3[aA]).*@', '@'), '@.*@', '@'),
        caller_user = replaceRegexpOne(caller_user, '(;|,|=|[?]|%3[aA]).*$', ''),
        callee_user = replaceRegexpOne(callee_user, '(;|,|=|[?]|%3[aA]).*$', ''),
        caller_name = replaceRegexpOne(caller_name, '([:=]).*$', '\\1***'),
        callee_name = replaceRegexpOne(callee_name, '([:=]).*$', '\\1***'),
        caller_agent = replaceRegexpOne(toString(caller_agent), '([:=]).*$', '\\1***'),
        callee_agent = replaceRegexpOne(toString(callee_agent), '([:=]).*$', '\\1***'),
        final_reason = replaceRegexpOne(toString(final_reason), '([:=]).*$', '\\1***'),
        release_reason = if(match(release_reason, '^[A-Za-z0-9.]*( *; *cause *= *[0-9]+)?( *; *text *= *"[^":=]*")? *$'),
            release_reason, extract(release_reason, '^[A-Za-z0-9.]*(?: *; *cause *= *[0-9]+)?')),
        diagnoses = arrayMap(d -> (tupleElement(d, 1), tupleElement(d, 2), if(tupleElement(d, 1) = 'setup_failed',
            replaceRegexpOne(tupleElement(d, 3), '([:=]).*$', '\\1***'), tupleElement(d, 3))), diagnoses)
    WHERE match(call_id, '\\s')
        OR match(caller_uri, '[;,=?]|%3[aA]|@.*@') OR match(callee_uri, '[;,=?]|%3[aA]|@.*@')
        OR match(caller_user, '[;,=?]|%3[aA]') OR match(callee_user, '[;,=?]|%3[aA]')
        OR match(caller_name, '[:=]') OR match(callee_name, '[:=]')
        OR match(toString(caller_agent), '[:=]') OR match(toString(callee_agent), '[:=]')
        OR match(toString(final_reason), '[:=]')
        OR NOT match(release_reason, '^[A-Za-z0-9.]*( *; *cause *= *[0-9]+)?( *; *text *= *"[^":=]*")? *$');

ALTER TABLE {database}.streams{local} {on_cluster}
    UPDATE call_id = extract(call_id, '^\\S*') WHERE match(call_id, '\\s');

ALTER TABLE {database}.stream_intervals{local} {on_cluster}
    UPDATE call_id = extract(call_id, '^\\S*') WHERE match(call_id, '\\s');
