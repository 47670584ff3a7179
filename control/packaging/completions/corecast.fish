# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_corecast_global_optspecs
    string join \n config= print-config workers= isolation= io= executor= coalesce= sound-wait= gro= huge-pages= sandbox= rtc-listen-ips= rtc-plain-networks= rtc-port-range= rtc-recv-buffer-bytes= rtc-send-buffer-bytes= rooms-idle= rooms-viewer-grace= rooms-silence= rooms-join-timeout= rooms-resume-grace= rooms-max-per-ip= rooms-placement= rooms-widen-percent= worker-heartbeat= worker-timeout= failover-grace= failover-calls= failover-shut-out= drain-deadline= http-listen= http-origins= http-trusted-proxies= http-base-path= tls-cert= tls-key= tls-self-signed= admin-listen= whip-tokens= whep-tokens= api-tokens= webhooks-urls= webhooks-key= webhooks-secret= cascade-machines= cascade-token= rtc-webrtc-port= rtc-tcp= rtc-consent-timeout= rtc-ice-servers= rtc-max-incoming-bitrate= rtc-initial-outgoing-bitrate= rtc-max-outgoing-bitrate= dtls-versions= sctp-recv-window-bytes= sctp-send-buffer-bytes= sctp-worker-bytes= limits-sessions-per-second= limits-sessions-per-second-per-ip= limits-sessions-per-ip= limits-cpu-percent= limits-memory-percent= limits-reserved-percent= limits-sdp-bytes= limits-connections= limits-connections-per-ip= limits-packets-per-second= limits-media-age= usage-interval= log= log-format= telemetry-otlp-endpoint= telemetry-sample= h/help V/version
end

function __fish_corecast_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_corecast_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_corecast_using_subcommand
    set -l cmd (__fish_corecast_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c corecast -n "__fish_corecast_needs_command" -l config -d 'Settings file (TOML) [default: corecast.toml, then /etc/corecast.toml, where they exist]' -r -F
complete -c corecast -n "__fish_corecast_needs_command" -l workers -d '"auto" (one per core), how many, or which cores (0,2-3 or [1])' -r
complete -c corecast -n "__fish_corecast_needs_command" -l isolation -d 'Whether a worker is a thread or a process [default: thread]' -r
complete -c corecast -n "__fish_corecast_needs_command" -l io -d 'How workers talk to the kernel: auto, uring or syscalls [default: auto]' -r
complete -c corecast -n "__fish_corecast_needs_command" -l executor -d 'What runs a worker\'s loop: glommio or thread [default: glommio]' -r
complete -c corecast -n "__fish_corecast_needs_command" -l coalesce -d 'Wait for more datagrams: auto, off, or microseconds up to 1000 [default: auto]' -r
complete -c corecast -n "__fish_corecast_needs_command" -l sound-wait -d 'Most that a packet of sound waits to leave together with others, 0ms to 20ms [default: 5ms]' -r
complete -c corecast -n "__fish_corecast_needs_command" -l gro -d 'Receive with UDP_GRO [default: true]' -r -f -a "true\t''
false\t''"
complete -c corecast -n "__fish_corecast_needs_command" -l huge-pages -d 'Huge pages for the workers\' buffers: auto or off [default: auto]' -r
complete -c corecast -n "__fish_corecast_needs_command" -l sandbox -d 'Give up privileges, files and system calls that are not needed: on, log or off [default: on]' -r
complete -c corecast -n "__fish_corecast_needs_command" -l rtc-listen-ips -d 'Addresses of media sockets, each IP, IP=ANNOUNCED or IP=ANNOUNCED:PORT [default: 127.0.0.1, and for WebRTC the machine\'s first other address]' -r
complete -c corecast -n "__fish_corecast_needs_command" -l rtc-plain-networks -d 'Networks that plain transports may send to [default: all but loopback, link-local and the like]' -r
complete -c corecast -n "__fish_corecast_needs_command" -l rtc-port-range -d 'Ports of media sockets [default: 40000-49999]' -r
complete -c corecast -n "__fish_corecast_needs_command" -l rtc-recv-buffer-bytes -d 'Receive buffer of each media socket, in bytes [default: 1048576]' -r
complete -c corecast -n "__fish_corecast_needs_command" -l rtc-send-buffer-bytes -d 'Send buffer of each media socket, in bytes [default: 1048576]' -r
complete -c corecast -n "__fish_corecast_needs_command" -l rooms-idle -d 'Close a room in which nobody has been for this long, listeners included [default: 60s]' -r
complete -c corecast -n "__fish_corecast_needs_command" -l rooms-viewer-grace -d 'End a viewer that has had nothing to see for this long since its publisher left [default: 15s]' -r
complete -c corecast -n "__fish_corecast_needs_command" -l rooms-silence -d 'Close a room in which only broadcasters are, if nothing comes of them for this long [default: 600s]' -r
complete -c corecast -n "__fish_corecast_needs_command" -l rooms-join-timeout -d 'Close a participant (mediasoup\'s signaling) that has not joined after this long [default: 10s]' -r
complete -c corecast -n "__fish_corecast_needs_command" -l rooms-resume-grace -d 'Keep the place of a participant whose WebSocket has broken for this long [default: 20s]' -r
complete -c corecast -n "__fish_corecast_needs_command" -l rooms-max-per-ip -d 'Most rooms that one IP address may have made; 0 for no limit [default: 1000]' -r
complete -c corecast -n "__fish_corecast_needs_command" -l rooms-placement -d 'On which worker a room is made: round-robin, least-loaded or power-of-two [default: round-robin]' -r
complete -c corecast -n "__fish_corecast_needs_command" -l rooms-widen-percent -d 'Send a room\'s viewers from further workers once its own uses so much of its core; 0 for never [default: 60]' -r
complete -c corecast -n "__fish_corecast_needs_command" -l worker-heartbeat -d 'Interval of the workers\' heartbeat [default: 1s]' -r
complete -c corecast -n "__fish_corecast_needs_command" -l worker-timeout -d 'Declare a worker dead that has not answered for this long [default: 3s]' -r
complete -c corecast -n "__fish_corecast_needs_command" -l failover-grace -d 'Wait before the restart that follows a death [default: none]' -r
complete -c corecast -n "__fish_corecast_needs_command" -l failover-calls -d 'Whether calls go on after that restart: keep or drop [default: keep]' -r
complete -c corecast -n "__fish_corecast_needs_command" -l failover-shut-out -d 'Let nobody new in from an address that two workers have died of, for this long; 0 for never [default: 60s]' -r
complete -c corecast -n "__fish_corecast_needs_command" -l drain-deadline -d 'At SIGTERM, let those who are in rooms stay for at most this long [default: 5s]' -r
complete -c corecast -n "__fish_corecast_needs_command" -l http-listen -d 'Address of the pages and the HTTP API [default: 127.0.0.1:4080]' -r
complete -c corecast -n "__fish_corecast_needs_command" -l http-origins -d 'Further origins of web pages that may call the API' -r
complete -c corecast -n "__fish_corecast_needs_command" -l http-trusted-proxies -d 'Proxies in front that say who the client is (Forwarded, X-Forwarded-For), addresses or networks' -r
complete -c corecast -n "__fish_corecast_needs_command" -l http-base-path -d 'Path below which a proxy shows the server, such as /sfu' -r
complete -c corecast -n "__fish_corecast_needs_command" -l tls-cert -d 'HTTPS with this certificate chain (PEM)' -r -F
complete -c corecast -n "__fish_corecast_needs_command" -l tls-key -d 'Private key of that certificate (PEM)' -r -F
complete -c corecast -n "__fish_corecast_needs_command" -l tls-self-signed -d 'HTTPS with a certificate made at start: browsers warn, and then allow camera and microphone' -r -f -a "true\t''
false\t''"
complete -c corecast -n "__fish_corecast_needs_command" -l admin-listen -d 'Where the API for operators listens: auto (a Unix socket), off, a path or IP:PORT [default: auto]' -r
complete -c corecast -n "__fish_corecast_needs_command" -l whip-tokens -d 'Bearer tokens of publishers; without any everybody may publish' -r
complete -c corecast -n "__fish_corecast_needs_command" -l whep-tokens -d 'Bearer tokens of viewers; without any everybody may watch' -r
complete -c corecast -n "__fish_corecast_needs_command" -l api-tokens -d 'Bearer tokens of the rest of the API [default: the tokens of publishers, or else of viewers]' -r
complete -c corecast -n "__fish_corecast_needs_command" -l webhooks-urls -d 'URLs that are sent each event of rooms and peers' -r
complete -c corecast -n "__fish_corecast_needs_command" -l webhooks-key -d 'Name of the secret that events are signed with' -r
complete -c corecast -n "__fish_corecast_needs_command" -l webhooks-secret -d 'The secret that events are signed with, 32 characters at least' -r
complete -c corecast -n "__fish_corecast_needs_command" -l cascade-machines -d 'Other machines, URLs of their API, whose rooms may have viewers here' -r
complete -c corecast -n "__fish_corecast_needs_command" -l cascade-token -d 'What machines show each other, 32 characters at least' -r
complete -c corecast -n "__fish_corecast_needs_command" -l rtc-webrtc-port -d 'Port of WebRTC, UDP and TCP; worker i has the i-th after it; 0 for no WebRTC [default: 3480]' -r
complete -c corecast -n "__fish_corecast_needs_command" -l rtc-tcp -d 'Take WebRTC over TCP where UDP does not pass [default: true]' -r -f -a "true\t''
false\t''"
complete -c corecast -n "__fish_corecast_needs_command" -l rtc-consent-timeout -d 'End a WebRTC session whose client has not been heard of for this long, 10s to 60s [default: 30s]' -r
complete -c corecast -n "__fish_corecast_needs_command" -l rtc-ice-servers -d 'STUN and TURN servers that clients are told of, each URL or "URL USERNAME CREDENTIAL"' -r
complete -c corecast -n "__fish_corecast_needs_command" -l rtc-max-incoming-bitrate -d 'Most that a publisher is asked to send, in bits per second; 0 for no limit [default: 0]' -r
complete -c corecast -n "__fish_corecast_needs_command" -l rtc-initial-outgoing-bitrate -d 'What a viewer\'s path is taken to carry at first, in bits per second [default: 1000000]' -r
complete -c corecast -n "__fish_corecast_needs_command" -l rtc-max-outgoing-bitrate -d 'Most that a viewer is sent, in bits per second; 0 for no limit [default: 0]' -r
complete -c corecast -n "__fish_corecast_needs_command" -l dtls-versions -d '"1.2", "1.3" or "both" [default: 1.2]' -r
complete -c corecast -n "__fish_corecast_needs_command" -l sctp-recv-window-bytes -d 'Window of data channels that each client is announced, in bytes [default: 524288]' -r
complete -c corecast -n "__fish_corecast_needs_command" -l sctp-send-buffer-bytes -d 'Messages of data channels that may wait for one client, in bytes [default: 1048576]' -r
complete -c corecast -n "__fish_corecast_needs_command" -l sctp-worker-bytes -d 'The same for all clients of a worker together, in bytes [default: 268435456]' -r
complete -c corecast -n "__fish_corecast_needs_command" -l limits-sessions-per-second -d 'New WebRTC sessions per second; 0 for no limit [default: 200]' -r
complete -c corecast -n "__fish_corecast_needs_command" -l limits-sessions-per-second-per-ip -d 'New WebRTC sessions per second of one IP address that do not connect; 0 for no limit [default: 50]' -r
complete -c corecast -n "__fish_corecast_needs_command" -l limits-sessions-per-ip -d 'WebRTC sessions of one IP address at a time; 0 for no limit [default: 2000]' -r
complete -c corecast -n "__fish_corecast_needs_command" -l limits-cpu-percent -d 'Make no new rooms while every worker uses more of its core, in percent; 0 for no limit [default: 90]' -r
complete -c corecast -n "__fish_corecast_needs_command" -l limits-memory-percent -d 'Make no new rooms while more of the memory is in use, in percent; 0 for no limit [default: 95]' -r
complete -c corecast -n "__fish_corecast_needs_command" -l limits-reserved-percent -d 'Make rooms of high priority up to so much past these two, in percent [default: 5]' -r
complete -c corecast -n "__fish_corecast_needs_command" -l limits-sdp-bytes -d 'Longest session description, in bytes [default: 65536]' -r
complete -c corecast -n "__fish_corecast_needs_command" -l limits-connections -d 'HTTP connections at a time [default: 4096]' -r
complete -c corecast -n "__fish_corecast_needs_command" -l limits-connections-per-ip -d 'HTTP connections of one IP address at a time; 0 for no limit [default: 1024]' -r
complete -c corecast -n "__fish_corecast_needs_command" -l limits-packets-per-second -d 'RTP packets of one transport per second that are taken in [default: 20000]' -r
complete -c corecast -n "__fish_corecast_needs_command" -l limits-media-age -d 'Do not forward media that is older than this when its turn comes, 50ms to 10s [default: 200ms]' -r
complete -c corecast -n "__fish_corecast_needs_command" -l usage-interval -d 'Interval of the usage log [default: 120s]' -r
complete -c corecast -n "__fish_corecast_needs_command" -l log -d 'Log filter, as in RUST_LOG [default: info]' -r
complete -c corecast -n "__fish_corecast_needs_command" -l log-format -d 'Lines of the log: text or json [default: text]' -r
complete -c corecast -n "__fish_corecast_needs_command" -l telemetry-otlp-endpoint -d 'URL of a collector that is sent traces, by OTLP over HTTP, where the program was built with `otlp`' -r
complete -c corecast -n "__fish_corecast_needs_command" -l telemetry-sample -d 'Share of the traces that are recorded, 0 to 1 [default: 1]' -r
complete -c corecast -n "__fish_corecast_needs_command" -l print-config -d 'Show the effective settings as TOML and end'
complete -c corecast -n "__fish_corecast_needs_command" -s h -l help -d 'Print help'
complete -c corecast -n "__fish_corecast_needs_command" -s V -l version -d 'Print version'
complete -c corecast -n "__fish_corecast_needs_command" -f -a "check" -d 'Look at this machine: what keeps a server from being fast, and what to change; 1 if there is anything'
complete -c corecast -n "__fish_corecast_needs_command" -f -a "top" -d 'Show cores, rooms and viewers of a running server, as its dashboard does, until q is pressed'
complete -c corecast -n "__fish_corecast_needs_command" -f -a "ctl" -d 'Ask a running server, or tell it what to do; 1 if it does not do it'
complete -c corecast -n "__fish_corecast_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c corecast -n "__fish_corecast_using_subcommand check" -s h -l help -d 'Print help'
complete -c corecast -n "__fish_corecast_using_subcommand top" -l url -d 'The server [default: the one on this machine that these settings are of]' -r
complete -c corecast -n "__fish_corecast_using_subcommand top" -l token -d 'Bearer token of the API [default: with these settings\' server, its first one]' -r
complete -c corecast -n "__fish_corecast_using_subcommand top" -l insecure -d 'Take any certificate, such as one that the server has made for itself'
complete -c corecast -n "__fish_corecast_using_subcommand top" -l once -d 'Print one picture and end'
complete -c corecast -n "__fish_corecast_using_subcommand top" -s h -l help -d 'Print help'
complete -c corecast -n "__fish_corecast_using_subcommand ctl; and not __fish_seen_subcommand_from server rooms peers dump close invite mute unmute loudest priority cordon uncordon drain restart log help" -l at -d 'Where the server\'s API for operators listens: a path or IP:PORT [default: where its settings say]' -r
complete -c corecast -n "__fish_corecast_using_subcommand ctl; and not __fish_seen_subcommand_from server rooms peers dump close invite mute unmute loudest priority cordon uncordon drain restart log help" -l token -d 'Bearer token, for a server that listens on TCP and has tokens' -r
complete -c corecast -n "__fish_corecast_using_subcommand ctl; and not __fish_seen_subcommand_from server rooms peers dump close invite mute unmute loudest priority cordon uncordon drain restart log help" -l json -d 'Show what the server answers, as JSON'
complete -c corecast -n "__fish_corecast_using_subcommand ctl; and not __fish_seen_subcommand_from server rooms peers dump close invite mute unmute loudest priority cordon uncordon drain restart log help" -s h -l help -d 'Print help'
complete -c corecast -n "__fish_corecast_using_subcommand ctl; and not __fish_seen_subcommand_from server rooms peers dump close invite mute unmute loudest priority cordon uncordon drain restart log help" -f -a "server" -d 'Show the server and its workers'
complete -c corecast -n "__fish_corecast_using_subcommand ctl; and not __fish_seen_subcommand_from server rooms peers dump close invite mute unmute loudest priority cordon uncordon drain restart log help" -f -a "rooms" -d 'List the rooms'
complete -c corecast -n "__fish_corecast_using_subcommand ctl; and not __fish_seen_subcommand_from server rooms peers dump close invite mute unmute loudest priority cordon uncordon drain restart log help" -f -a "peers" -d 'List who is in a room, and who was removed from it'
complete -c corecast -n "__fish_corecast_using_subcommand ctl; and not __fish_seen_subcommand_from server rooms peers dump close invite mute unmute loudest priority cordon uncordon drain restart log help" -f -a "dump" -d 'Show everything that is in a room, with counters, as JSON'
complete -c corecast -n "__fish_corecast_using_subcommand ctl; and not __fish_seen_subcommand_from server rooms peers dump close invite mute unmute loudest priority cordon uncordon drain restart log help" -f -a "close" -d 'Close a room; or remove a peer from it, who then stays out until it is invited'
complete -c corecast -n "__fish_corecast_using_subcommand ctl; and not __fish_seen_subcommand_from server rooms peers dump close invite mute unmute loudest priority cordon uncordon drain restart log help" -f -a "invite" -d 'Let a peer come again that was removed'
complete -c corecast -n "__fish_corecast_using_subcommand ctl; and not __fish_seen_subcommand_from server rooms peers dump close invite mute unmute loudest priority cordon uncordon drain restart log help" -f -a "mute" -d 'Let nobody hear or see a peer'
complete -c corecast -n "__fish_corecast_using_subcommand ctl; and not __fish_seen_subcommand_from server rooms peers dump close invite mute unmute loudest priority cordon uncordon drain restart log help" -f -a "unmute" -d 'Let a peer be heard and seen again'
complete -c corecast -n "__fish_corecast_using_subcommand ctl; and not __fish_seen_subcommand_from server rooms peers dump close invite mute unmute loudest priority cordon uncordon drain restart log help" -f -a "loudest" -d 'Let only the loudest of those who speak in a room be heard'
complete -c corecast -n "__fish_corecast_using_subcommand ctl; and not __fish_seen_subcommand_from server rooms peers dump close invite mute unmute loudest priority cordon uncordon drain restart log help" -f -a "priority" -d 'Say how much a room matters beside the others, before it is made, too'
complete -c corecast -n "__fish_corecast_using_subcommand ctl; and not __fish_seen_subcommand_from server rooms peers dump close invite mute unmute loudest priority cordon uncordon drain restart log help" -f -a "cordon" -d 'Make no new rooms; those that are there go on and grow'
complete -c corecast -n "__fish_corecast_using_subcommand ctl; and not __fish_seen_subcommand_from server rooms peers dump close invite mute unmute loudest priority cordon uncordon drain restart log help" -f -a "uncordon" -d 'Make new rooms again'
complete -c corecast -n "__fish_corecast_using_subcommand ctl; and not __fish_seen_subcommand_from server rooms peers dump close invite mute unmute loudest priority cordon uncordon drain restart log help" -f -a "drain" -d 'Stop as SIGTERM does: when nobody is in a room, or drain.deadline is over'
complete -c corecast -n "__fish_corecast_using_subcommand ctl; and not __fish_seen_subcommand_from server rooms peers dump close invite mute unmute loudest priority cordon uncordon drain restart log help" -f -a "restart" -d 'Start the server and its workers again; calls go on'
complete -c corecast -n "__fish_corecast_using_subcommand ctl; and not __fish_seen_subcommand_from server rooms peers dump close invite mute unmute loudest priority cordon uncordon drain restart log help" -f -a "log" -d 'Set what is logged, until the next start or SIGHUP'
complete -c corecast -n "__fish_corecast_using_subcommand ctl; and not __fish_seen_subcommand_from server rooms peers dump close invite mute unmute loudest priority cordon uncordon drain restart log help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c corecast -n "__fish_corecast_using_subcommand ctl; and __fish_seen_subcommand_from server" -l at -d 'Where the server\'s API for operators listens: a path or IP:PORT [default: where its settings say]' -r
complete -c corecast -n "__fish_corecast_using_subcommand ctl; and __fish_seen_subcommand_from server" -l token -d 'Bearer token, for a server that listens on TCP and has tokens' -r
complete -c corecast -n "__fish_corecast_using_subcommand ctl; and __fish_seen_subcommand_from server" -l json -d 'Show what the server answers, as JSON'
complete -c corecast -n "__fish_corecast_using_subcommand ctl; and __fish_seen_subcommand_from server" -s h -l help -d 'Print help'
complete -c corecast -n "__fish_corecast_using_subcommand ctl; and __fish_seen_subcommand_from rooms" -l at -d 'Where the server\'s API for operators listens: a path or IP:PORT [default: where its settings say]' -r
complete -c corecast -n "__fish_corecast_using_subcommand ctl; and __fish_seen_subcommand_from rooms" -l token -d 'Bearer token, for a server that listens on TCP and has tokens' -r
complete -c corecast -n "__fish_corecast_using_subcommand ctl; and __fish_seen_subcommand_from rooms" -l json -d 'Show what the server answers, as JSON'
complete -c corecast -n "__fish_corecast_using_subcommand ctl; and __fish_seen_subcommand_from rooms" -s h -l help -d 'Print help'
complete -c corecast -n "__fish_corecast_using_subcommand ctl; and __fish_seen_subcommand_from peers" -l at -d 'Where the server\'s API for operators listens: a path or IP:PORT [default: where its settings say]' -r
complete -c corecast -n "__fish_corecast_using_subcommand ctl; and __fish_seen_subcommand_from peers" -l token -d 'Bearer token, for a server that listens on TCP and has tokens' -r
complete -c corecast -n "__fish_corecast_using_subcommand ctl; and __fish_seen_subcommand_from peers" -l json -d 'Show what the server answers, as JSON'
complete -c corecast -n "__fish_corecast_using_subcommand ctl; and __fish_seen_subcommand_from peers" -s h -l help -d 'Print help'
complete -c corecast -n "__fish_corecast_using_subcommand ctl; and __fish_seen_subcommand_from dump" -l at -d 'Where the server\'s API for operators listens: a path or IP:PORT [default: where its settings say]' -r
complete -c corecast -n "__fish_corecast_using_subcommand ctl; and __fish_seen_subcommand_from dump" -l token -d 'Bearer token, for a server that listens on TCP and has tokens' -r
complete -c corecast -n "__fish_corecast_using_subcommand ctl; and __fish_seen_subcommand_from dump" -l json -d 'Show what the server answers, as JSON'
complete -c corecast -n "__fish_corecast_using_subcommand ctl; and __fish_seen_subcommand_from dump" -s h -l help -d 'Print help'
complete -c corecast -n "__fish_corecast_using_subcommand ctl; and __fish_seen_subcommand_from close" -l at -d 'Where the server\'s API for operators listens: a path or IP:PORT [default: where its settings say]' -r
complete -c corecast -n "__fish_corecast_using_subcommand ctl; and __fish_seen_subcommand_from close" -l token -d 'Bearer token, for a server that listens on TCP and has tokens' -r
complete -c corecast -n "__fish_corecast_using_subcommand ctl; and __fish_seen_subcommand_from close" -l may-return -d 'Let it come again at once'
complete -c corecast -n "__fish_corecast_using_subcommand ctl; and __fish_seen_subcommand_from close" -l json -d 'Show what the server answers, as JSON'
complete -c corecast -n "__fish_corecast_using_subcommand ctl; and __fish_seen_subcommand_from close" -s h -l help -d 'Print help'
complete -c corecast -n "__fish_corecast_using_subcommand ctl; and __fish_seen_subcommand_from invite" -l at -d 'Where the server\'s API for operators listens: a path or IP:PORT [default: where its settings say]' -r
complete -c corecast -n "__fish_corecast_using_subcommand ctl; and __fish_seen_subcommand_from invite" -l token -d 'Bearer token, for a server that listens on TCP and has tokens' -r
complete -c corecast -n "__fish_corecast_using_subcommand ctl; and __fish_seen_subcommand_from invite" -l json -d 'Show what the server answers, as JSON'
complete -c corecast -n "__fish_corecast_using_subcommand ctl; and __fish_seen_subcommand_from invite" -s h -l help -d 'Print help'
complete -c corecast -n "__fish_corecast_using_subcommand ctl; and __fish_seen_subcommand_from mute" -l at -d 'Where the server\'s API for operators listens: a path or IP:PORT [default: where its settings say]' -r
complete -c corecast -n "__fish_corecast_using_subcommand ctl; and __fish_seen_subcommand_from mute" -l token -d 'Bearer token, for a server that listens on TCP and has tokens' -r
complete -c corecast -n "__fish_corecast_using_subcommand ctl; and __fish_seen_subcommand_from mute" -l json -d 'Show what the server answers, as JSON'
complete -c corecast -n "__fish_corecast_using_subcommand ctl; and __fish_seen_subcommand_from mute" -s h -l help -d 'Print help'
complete -c corecast -n "__fish_corecast_using_subcommand ctl; and __fish_seen_subcommand_from unmute" -l at -d 'Where the server\'s API for operators listens: a path or IP:PORT [default: where its settings say]' -r
complete -c corecast -n "__fish_corecast_using_subcommand ctl; and __fish_seen_subcommand_from unmute" -l token -d 'Bearer token, for a server that listens on TCP and has tokens' -r
complete -c corecast -n "__fish_corecast_using_subcommand ctl; and __fish_seen_subcommand_from unmute" -l json -d 'Show what the server answers, as JSON'
complete -c corecast -n "__fish_corecast_using_subcommand ctl; and __fish_seen_subcommand_from unmute" -s h -l help -d 'Print help'
complete -c corecast -n "__fish_corecast_using_subcommand ctl; and __fish_seen_subcommand_from loudest" -l at -d 'Where the server\'s API for operators listens: a path or IP:PORT [default: where its settings say]' -r
complete -c corecast -n "__fish_corecast_using_subcommand ctl; and __fish_seen_subcommand_from loudest" -l token -d 'Bearer token, for a server that listens on TCP and has tokens' -r
complete -c corecast -n "__fish_corecast_using_subcommand ctl; and __fish_seen_subcommand_from loudest" -l json -d 'Show what the server answers, as JSON'
complete -c corecast -n "__fish_corecast_using_subcommand ctl; and __fish_seen_subcommand_from loudest" -s h -l help -d 'Print help'
complete -c corecast -n "__fish_corecast_using_subcommand ctl; and __fish_seen_subcommand_from priority" -l at -d 'Where the server\'s API for operators listens: a path or IP:PORT [default: where its settings say]' -r
complete -c corecast -n "__fish_corecast_using_subcommand ctl; and __fish_seen_subcommand_from priority" -l token -d 'Bearer token, for a server that listens on TCP and has tokens' -r
complete -c corecast -n "__fish_corecast_using_subcommand ctl; and __fish_seen_subcommand_from priority" -l json -d 'Show what the server answers, as JSON'
complete -c corecast -n "__fish_corecast_using_subcommand ctl; and __fish_seen_subcommand_from priority" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c corecast -n "__fish_corecast_using_subcommand ctl; and __fish_seen_subcommand_from cordon" -l at -d 'Where the server\'s API for operators listens: a path or IP:PORT [default: where its settings say]' -r
complete -c corecast -n "__fish_corecast_using_subcommand ctl; and __fish_seen_subcommand_from cordon" -l token -d 'Bearer token, for a server that listens on TCP and has tokens' -r
complete -c corecast -n "__fish_corecast_using_subcommand ctl; and __fish_seen_subcommand_from cordon" -l json -d 'Show what the server answers, as JSON'
complete -c corecast -n "__fish_corecast_using_subcommand ctl; and __fish_seen_subcommand_from cordon" -s h -l help -d 'Print help'
complete -c corecast -n "__fish_corecast_using_subcommand ctl; and __fish_seen_subcommand_from uncordon" -l at -d 'Where the server\'s API for operators listens: a path or IP:PORT [default: where its settings say]' -r
complete -c corecast -n "__fish_corecast_using_subcommand ctl; and __fish_seen_subcommand_from uncordon" -l token -d 'Bearer token, for a server that listens on TCP and has tokens' -r
complete -c corecast -n "__fish_corecast_using_subcommand ctl; and __fish_seen_subcommand_from uncordon" -l json -d 'Show what the server answers, as JSON'
complete -c corecast -n "__fish_corecast_using_subcommand ctl; and __fish_seen_subcommand_from uncordon" -s h -l help -d 'Print help'
complete -c corecast -n "__fish_corecast_using_subcommand ctl; and __fish_seen_subcommand_from drain" -l at -d 'Where the server\'s API for operators listens: a path or IP:PORT [default: where its settings say]' -r
complete -c corecast -n "__fish_corecast_using_subcommand ctl; and __fish_seen_subcommand_from drain" -l token -d 'Bearer token, for a server that listens on TCP and has tokens' -r
complete -c corecast -n "__fish_corecast_using_subcommand ctl; and __fish_seen_subcommand_from drain" -l json -d 'Show what the server answers, as JSON'
complete -c corecast -n "__fish_corecast_using_subcommand ctl; and __fish_seen_subcommand_from drain" -s h -l help -d 'Print help'
complete -c corecast -n "__fish_corecast_using_subcommand ctl; and __fish_seen_subcommand_from restart" -l at -d 'Where the server\'s API for operators listens: a path or IP:PORT [default: where its settings say]' -r
complete -c corecast -n "__fish_corecast_using_subcommand ctl; and __fish_seen_subcommand_from restart" -l token -d 'Bearer token, for a server that listens on TCP and has tokens' -r
complete -c corecast -n "__fish_corecast_using_subcommand ctl; and __fish_seen_subcommand_from restart" -l json -d 'Show what the server answers, as JSON'
complete -c corecast -n "__fish_corecast_using_subcommand ctl; and __fish_seen_subcommand_from restart" -s h -l help -d 'Print help'
complete -c corecast -n "__fish_corecast_using_subcommand ctl; and __fish_seen_subcommand_from log" -l at -d 'Where the server\'s API for operators listens: a path or IP:PORT [default: where its settings say]' -r
complete -c corecast -n "__fish_corecast_using_subcommand ctl; and __fish_seen_subcommand_from log" -l token -d 'Bearer token, for a server that listens on TCP and has tokens' -r
complete -c corecast -n "__fish_corecast_using_subcommand ctl; and __fish_seen_subcommand_from log" -l json -d 'Show what the server answers, as JSON'
complete -c corecast -n "__fish_corecast_using_subcommand ctl; and __fish_seen_subcommand_from log" -s h -l help -d 'Print help'
complete -c corecast -n "__fish_corecast_using_subcommand ctl; and __fish_seen_subcommand_from help" -f -a "server" -d 'Show the server and its workers'
complete -c corecast -n "__fish_corecast_using_subcommand ctl; and __fish_seen_subcommand_from help" -f -a "rooms" -d 'List the rooms'
complete -c corecast -n "__fish_corecast_using_subcommand ctl; and __fish_seen_subcommand_from help" -f -a "peers" -d 'List who is in a room, and who was removed from it'
complete -c corecast -n "__fish_corecast_using_subcommand ctl; and __fish_seen_subcommand_from help" -f -a "dump" -d 'Show everything that is in a room, with counters, as JSON'
complete -c corecast -n "__fish_corecast_using_subcommand ctl; and __fish_seen_subcommand_from help" -f -a "close" -d 'Close a room; or remove a peer from it, who then stays out until it is invited'
complete -c corecast -n "__fish_corecast_using_subcommand ctl; and __fish_seen_subcommand_from help" -f -a "invite" -d 'Let a peer come again that was removed'
complete -c corecast -n "__fish_corecast_using_subcommand ctl; and __fish_seen_subcommand_from help" -f -a "mute" -d 'Let nobody hear or see a peer'
complete -c corecast -n "__fish_corecast_using_subcommand ctl; and __fish_seen_subcommand_from help" -f -a "unmute" -d 'Let a peer be heard and seen again'
complete -c corecast -n "__fish_corecast_using_subcommand ctl; and __fish_seen_subcommand_from help" -f -a "loudest" -d 'Let only the loudest of those who speak in a room be heard'
complete -c corecast -n "__fish_corecast_using_subcommand ctl; and __fish_seen_subcommand_from help" -f -a "priority" -d 'Say how much a room matters beside the others, before it is made, too'
complete -c corecast -n "__fish_corecast_using_subcommand ctl; and __fish_seen_subcommand_from help" -f -a "cordon" -d 'Make no new rooms; those that are there go on and grow'
complete -c corecast -n "__fish_corecast_using_subcommand ctl; and __fish_seen_subcommand_from help" -f -a "uncordon" -d 'Make new rooms again'
complete -c corecast -n "__fish_corecast_using_subcommand ctl; and __fish_seen_subcommand_from help" -f -a "drain" -d 'Stop as SIGTERM does: when nobody is in a room, or drain.deadline is over'
complete -c corecast -n "__fish_corecast_using_subcommand ctl; and __fish_seen_subcommand_from help" -f -a "restart" -d 'Start the server and its workers again; calls go on'
complete -c corecast -n "__fish_corecast_using_subcommand ctl; and __fish_seen_subcommand_from help" -f -a "log" -d 'Set what is logged, until the next start or SIGHUP'
complete -c corecast -n "__fish_corecast_using_subcommand ctl; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c corecast -n "__fish_corecast_using_subcommand help; and not __fish_seen_subcommand_from check top ctl help" -f -a "check" -d 'Look at this machine: what keeps a server from being fast, and what to change; 1 if there is anything'
complete -c corecast -n "__fish_corecast_using_subcommand help; and not __fish_seen_subcommand_from check top ctl help" -f -a "top" -d 'Show cores, rooms and viewers of a running server, as its dashboard does, until q is pressed'
complete -c corecast -n "__fish_corecast_using_subcommand help; and not __fish_seen_subcommand_from check top ctl help" -f -a "ctl" -d 'Ask a running server, or tell it what to do; 1 if it does not do it'
complete -c corecast -n "__fish_corecast_using_subcommand help; and not __fish_seen_subcommand_from check top ctl help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c corecast -n "__fish_corecast_using_subcommand help; and __fish_seen_subcommand_from ctl" -f -a "server" -d 'Show the server and its workers'
complete -c corecast -n "__fish_corecast_using_subcommand help; and __fish_seen_subcommand_from ctl" -f -a "rooms" -d 'List the rooms'
complete -c corecast -n "__fish_corecast_using_subcommand help; and __fish_seen_subcommand_from ctl" -f -a "peers" -d 'List who is in a room, and who was removed from it'
complete -c corecast -n "__fish_corecast_using_subcommand help; and __fish_seen_subcommand_from ctl" -f -a "dump" -d 'Show everything that is in a room, with counters, as JSON'
complete -c corecast -n "__fish_corecast_using_subcommand help; and __fish_seen_subcommand_from ctl" -f -a "close" -d 'Close a room; or remove a peer from it, who then stays out until it is invited'
complete -c corecast -n "__fish_corecast_using_subcommand help; and __fish_seen_subcommand_from ctl" -f -a "invite" -d 'Let a peer come again that was removed'
complete -c corecast -n "__fish_corecast_using_subcommand help; and __fish_seen_subcommand_from ctl" -f -a "mute" -d 'Let nobody hear or see a peer'
complete -c corecast -n "__fish_corecast_using_subcommand help; and __fish_seen_subcommand_from ctl" -f -a "unmute" -d 'Let a peer be heard and seen again'
complete -c corecast -n "__fish_corecast_using_subcommand help; and __fish_seen_subcommand_from ctl" -f -a "loudest" -d 'Let only the loudest of those who speak in a room be heard'
complete -c corecast -n "__fish_corecast_using_subcommand help; and __fish_seen_subcommand_from ctl" -f -a "priority" -d 'Say how much a room matters beside the others, before it is made, too'
complete -c corecast -n "__fish_corecast_using_subcommand help; and __fish_seen_subcommand_from ctl" -f -a "cordon" -d 'Make no new rooms; those that are there go on and grow'
complete -c corecast -n "__fish_corecast_using_subcommand help; and __fish_seen_subcommand_from ctl" -f -a "uncordon" -d 'Make new rooms again'
complete -c corecast -n "__fish_corecast_using_subcommand help; and __fish_seen_subcommand_from ctl" -f -a "drain" -d 'Stop as SIGTERM does: when nobody is in a room, or drain.deadline is over'
complete -c corecast -n "__fish_corecast_using_subcommand help; and __fish_seen_subcommand_from ctl" -f -a "restart" -d 'Start the server and its workers again; calls go on'
complete -c corecast -n "__fish_corecast_using_subcommand help; and __fish_seen_subcommand_from ctl" -f -a "log" -d 'Set what is logged, until the next start or SIGHUP'
