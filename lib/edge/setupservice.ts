// p2p-id setup for what keeps a listener running or flushes the queue: systemd, launchd, cron. Paths are absolute, of
// node too where a command does not name it itself, since none of the three has a login's PATH.

import { shellWord } from '../base/quoting.ts'
import { comment, type Surroundings, systemdArgument, systemdWord, xmlText } from './snippet.ts'

/** How a unit names the home; a listener that a unit starts is known by it. */
export function systemdHome(home: string): string {
  return `Environment=${systemdWord(`P2P_HOME=${home}`)}`
}

/**
 * A user unit. Only settings that a user's manager can enforce without privileges: seccomp filters and limits; what
 * needs a mount namespace would keep the unit from starting where user namespaces are switched off.
 */
export function systemd(at: Surroundings): string {
  return `${comment(`systemd for the listener of ${at.name}: p2p-id setup systemd --install does all this, --remove undoes it
  mkdir -p ~/.config/systemd/user
  p2p-id setup systemd > ~/.config/systemd/user/p2p-listen.service
  systemctl --user daemon-reload
  systemctl --user enable --now p2p-listen
  loginctl enable-linger               # to be reachable while you are not logged in, too
  journalctl --user -u p2p-listen      # what it says
To take it away:
  systemctl --user disable --now p2p-listen
  rm ~/.config/systemd/user/p2p-listen.service`)}

[Unit]
Description=p2p: be reachable for messages
Documentation=man:p2p-listen(1) man:p2p(7)

[Service]
${systemdHome(at.home)}
ExecStart=${at.run('p2p-listen').map(systemdArgument).join(' ')} -q
ExecReload=/bin/kill -HUP $MAINPID
Restart=on-failure
RestartSec=10
# Wrong usage, not permitted, bad configuration: trying again would change nothing.
RestartPreventExitStatus=64 77 78

UMask=0077
LimitCORE=0
NoNewPrivileges=yes
LockPersonality=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
SystemCallArchitectures=native

[Install]
WantedBy=default.target
`
}

/** A launch agent. An XML comment must not hold two hyphens, so no option and no path stands in it. */
export function launchd(at: Surroundings): string {
  const words = [...at.run('p2p-listen'), '-q'].map((word) => `    <string>${xmlText(word)}</string>`)
  return `<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<!--
  launchd for a p2p listener; one command does this and one undoes it, see p2p-id(1):
    p2p-id setup launchd > ~/Library/LaunchAgents/invalid.p2p.listen.plist
    launchctl bootstrap gui/$(id -u) ~/Library/LaunchAgents/invalid.p2p.listen.plist
  To take it away:
    launchctl bootout gui/$(id -u)/invalid.p2p.listen
    rm ~/Library/LaunchAgents/invalid.p2p.listen.plist
-->
<plist version="1.0">
<dict>
  <key>Label</key>
  <string>invalid.p2p.listen</string>
  <key>ProgramArguments</key>
  <array>
${words.join('\n')}
  </array>
  <key>EnvironmentVariables</key>
  <dict>
    <key>P2P_HOME</key>
    <string>${xmlText(at.home)}</string>
  </dict>
  <key>RunAtLoad</key>
  <true/>
  <key>KeepAlive</key>
  <dict>
    <key>SuccessfulExit</key>
    <false/>
  </dict>
  <key>ThrottleInterval</key>
  <integer>60</integer>
  <key>Umask</key>
  <integer>63</integer>
</dict>
</plist>
`
}

/** The line of a crontab that starts a listener with the machine. */
export function cronLine(at: Surroundings): string {
  return `@reboot  ${cronCommand(at, 'p2p-listen', '-q')}`
}

/** In a crontab a % ends the command unless a backslash stands before it. */
function cronCommand(at: Surroundings, name: string, args: string): string {
  return `P2P_HOME=${shellWord(at.home)} ${at.run(name).map(shellWord).join(' ')} ${args}`.replaceAll('%', '\\%')
}

/** Lines of a crontab. */
export function cron(at: Surroundings): string {
  const command = (name: string, args: string): string => cronCommand(at, name, args)
  return `${comment(`cron for the messages of ${at.name}: add the lines you want with crontab -e

Without a listener: every ten minutes, for 50 seconds, deliver what waits and take what contacts have. Two people with
the same line meet if their clocks agree.`)}
*/10 * * * *  ${command('p2p-queue', 'flush -q --linger 50s')}

# Instead of it, a listener from the start of the machine on; p2p-id setup cron --install adds this line alone:
#${cronLine(at)}

# A report by message, only if the command says something; NAME is a contact:
#17 3 * * *  /path/to/backup 2>&1 | ${command('p2p-send', '-qE -s backup NAME')}
`
}
