# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash disable=SC2034
#
# Whom the tests are about: a user with no capability and no group, who owns the group
# files that "bind.sh -u nobody" gives him. These words go in front of a command.
as_user=(setpriv --reuid nobody --regid nogroup --clear-groups --inh-caps=-all
	--bounding-set=-all --)
