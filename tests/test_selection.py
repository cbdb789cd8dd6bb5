"""Host names with ports, IPv6 addresses, and the forms of pdsh, in -w, -x and host.list."""

import unittest

from lwt.errors import UsageError
from lwt.workspace import hostlist, nodeset
from tests.support import ProgramTestCase


class Names(ProgramTestCase):
    """Names that lwt parses before ssh gets them."""

    def hosts(self, *words):
        done = self.lwt('hosts', *words)
        self.assertEqual((done.code, done.err), (0, ''), done)
        return done.out.split()

    def test_FR_17_a_port_is_an_error_with_the_way_out(self):
        """FR-17: NAME:PORT is refused, because the port belongs in ssh_config."""
        for name, host, port in (('h1:2222', 'h1', '2222'), ('me@h1:22', 'h1', '22'),
                                 ('[::1]:22', '::1', '22'), ('10.0.0.1:022', '10.0.0.1', '022'),
                                 ('me@[fe80::1%eth0]:2', 'fe80::1%eth0', '2')):
            for words in (('hosts', '-w', name), ('exec', '-w', 'a,' + name, '--', 'true'),
                          ('exec', '-w', 'a', '-x', name, '--', 'true')):
                with self.subTest(words=words):
                    done = self.lwt(*words)
                    self.assert_refused(done, 2, name, 'a host name cannot contain a port',
                                        'set the port in ssh_config', '"Host %s"' % host,
                                        '"Port %s"' % port)
        done = self.lwt('hosts', '-w', 'h[1-3]:2222')
        self.assert_refused(done, 2, 'set the port in ssh_config')

    def test_FR_17_the_host_list_names_the_line(self):
        """FR-17: in host.list, the error has the file and the line."""
        self.make_workspace([('h1', 'c', '~'), ('h2:22', 'c', '~')])
        self.assert_refused(self.lwt('hosts', '-a'), 2, 'host.list:2: ', 'cannot contain a port')

    def test_FR_25_brackets_around_an_address_are_stripped(self):
        """FR-25: [ADDRESS] is ADDRESS, with a user and a zone as well."""
        for given in ('[::1]', '[fe80::1%eth0]', '::1', 'user@[fe80::1%eth0]', 'user@[::1]',
                      '[2001:db8::a]'):
            name = given.replace('[', '').replace(']', '')
            with self.subTest(given=given):
                self.assertEqual(self.hosts('-w', given), [name])
                self.assertEqual(self.hosts('-w', given + ',h1', '-x', name), ['h1'])
                self.assertEqual(self.hosts('-w', name + ',h1', '-x', given), ['h1'])

    def test_FR_25_one_address_in_two_forms_is_one_host(self):
        """FR-25: sets, files and folded forms use one name for an address."""
        self.assertEqual(self.hosts('-w', '[::1],::1,[::2]'), ['::1', '::2'])
        self.assertEqual(self.hosts('-w', '[fe80::1%eth0],fe80::1%eth1', '--fold'),
                         ['fe80::1%eth[0-1]'])
        self.assertEqual(self.hosts('-w', 'fe80::1%eth[0-1]'), ['fe80::1%eth0', 'fe80::1%eth1'])
        self.write('list', '[fe80::1%eth0]\n')
        self.assertEqual(self.hosts('-w', '^list'), ['fe80::1%eth0'])

    def test_FR_25_the_host_list_takes_both_forms(self):
        """FR-25: a line for [::1] is the line of -w ::1."""
        self.make_workspace([('[::1]', 'c', '~/here')])
        for given in ('::1', '[::1]', '@c'):
            done = self.lwt('hosts', '-w', given, '-v')
            self.assertEqual(done.out.split()[:1], ['::1'], done)
        self.assertEqual([host.home for host in hostlist.parse('[::1]\tc\t~/here\n', 'L')],
                         ['~/here'])


class Pdsh(ProgramTestCase):
    """Exclusion with "-" and patterns, as in pdsh."""

    SETS = (            # -w, and the output of pdsh -Q for it
        ('h[1-3],-h2', 'h1 h3'), ('-h2,h[1-3]', 'h1 h3'), ('h[1-3],-h[1-2]', 'h3'),
        ('h[1-3],/1|2/', 'h1 h2'), ('/1|2/,h[1-3]', 'h1 h2'), ('h[1-3],/1|2/,/2|3/', 'h2'),
        ('h[1-3],-/2/', 'h1 h3'), ('h[1-3],/h[1,2]/', 'h1 h2'), ('h[1-3],/2', 'h2'),
        ('h[1-3],/^h2$/', 'h2'), ('h[1-4],-^list', 'h3 h4'), ('h-1,h-2,-h-1', 'h-2'))

    def test_FR_31_sets_mean_what_they_mean_to_pdsh(self):
        """FR-31: -w takes exclusions and patterns."""
        self.write('list', 'h1\nh2\n')
        for text, names in self.SETS:
            for words in (('-w', text), ('-w' + text,)):
                with self.subTest(words=words):
                    done = self.lwt('hosts', *words)
                    self.assertEqual((done.code, done.out.split()), (0, names.split()), done)

    def test_FR_31_several_options_are_taken_together(self):
        """FR-31: an exclusion or a pattern applies to the hosts of every -w, and to -a."""
        self.make_workspace([('h%d' % number, 'c', '~') for number in (1, 2, 3)])
        for words, names in (
                ('-w h[1-3] -w -h2', 'h1 h3'), ('-a -w -h2', 'h1 h3'), ('-a -w /[12]/', 'h1 h2'),
                ('-g c -w -/3/', 'h1 h2'), ('-w /[23]/', 'h2 h3'), ('-w /[23]/,-h3', 'h2'),
                ('-w h[1-4] -x /[34]/', 'h1 h2'), ('-a -x /2/,h3', 'h1'), ('-w @c,-h1', 'h2 h3'),
                ('-w h*,-h?,x', 'x')):
            with self.subTest(words=words):
                done = self.lwt('hosts', *words.split())
                self.assertEqual((done.code, done.out.split()), (0, names.split()), done)

    def test_FR_31_what_selects_nothing_is_an_error(self):
        """FR-31: an exclusion alone, a bad pattern and a "-" in -x are refused."""
        for words, said in (
                ('-w -h2', 'only hosts to exclude'), ('-w h1,/[/', 'bad pattern'),
                ('-w h1,-', 'missing host after -'), ('-w h1 -x -h1', 'not needed in -x'),
                ('-w h1,-h1', 'no hosts selected'), ('-w h1,/2/', 'no hosts selected')):
            with self.subTest(words=words):
                done = self.lwt('exec', *words.split(), '--', 'true')
                self.assert_refused(done, 2, said)

    def test_FR_31_host_sets_themselves_are_those_of_clustershell(self):
        """FR-31: the notation of ClusterShell, which has no such items, stays as it is."""
        self.assertEqual(nodeset.expand('-a,/b/'), ['-a', '/b/'])
        self.assertEqual(nodeset.selected(['a,b', '-b']), {'a'})
        self.assertRaises(UsageError, nodeset.selected, ['-b'])


if __name__ == '__main__':
    unittest.main()
