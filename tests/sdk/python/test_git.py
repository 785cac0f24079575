# SPDX-License-Identifier: Apache-2.0
"""The SDK's git module, which is commands with much quoting, against a bare repository."""

import subprocess
import warnings

import pytest
from e2b import CommandExitException, GitUpstreamException, InvalidArgumentException

AUTHOR = {"author_name": "A. \"U\" Thor", "author_email": "author@example.com"}

# The module is deprecated, and used.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture
def git(sandbox):
    """The module, with no settings but its own."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield sandbox.git
    for user in "root", "user":
        sandbox.commands.run("rm -f ~/.gitconfig ~/.git-credentials", user=user)


@pytest.fixture
def bare(git, tmp_path):
    """A bare repository, empty."""
    path = f"{tmp_path}/bare repository.git"
    git.init(path, bare=True, initial_branch="main")
    return path


@pytest.fixture
def work(git, bare, tmp_path):
    """A clone of it with one commit, which was pushed."""
    path = f"{tmp_path}/work"
    git.clone(bare, path)
    write(f"{path}/README.md", "first\n")
    git.add(path)
    git.commit(path, "First", **AUTHOR)
    git.push(path, "origin", "main")
    return path


def write(path, text):
    with open(path, "w") as f:
        f.write(text)


def read(path):
    with open(path) as f:
        return f.read()


def log(repository, form="%s", ref="HEAD"):
    """What git itself says of the commits."""
    command = ["git", "-c", "safe.directory=*", "-C", repository, "log", f"--format={form}", ref]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()


def test_init(git, tmp_path):
    git.init(f"{tmp_path}/r", initial_branch="trunk")
    status = git.status(f"{tmp_path}/r")
    assert (status.current_branch, status.is_clean, status.upstream) == ("trunk", True, None)
    git.init(f"{tmp_path}/bare", bare=True)
    assert (tmp_path / "bare" / "HEAD").exists()


def test_clone(git, bare, work, tmp_path):
    assert log(bare) == ["First"]
    assert log(work, "%an <%ae>") == ["A. \"U\" Thor <author@example.com>"]
    git.clone(bare, f"{tmp_path}/again")
    assert read(f"{tmp_path}/again/README.md") == "first\n"
    git.clone(bare, cwd=str(tmp_path))
    assert (tmp_path / "bare repository" / "README.md").exists()
    git.commit(work, "Second", allow_empty=True, **AUTHOR)
    git.push(work)
    git.clone(f"file://{bare}", f"{tmp_path}/shallow", branch="main", depth=1)
    assert log(f"{tmp_path}/shallow") == ["Second"]
    with pytest.raises(CommandExitException):
        git.clone(f"{tmp_path}/absent", f"{tmp_path}/x")
    with pytest.raises(InvalidArgumentException):
        git.clone(bare, f"{tmp_path}/x", password="secret")


def test_clone_as_a_user(git, bare, work, tmp_path, sandbox):
    tmp_path.chmod(0o777)
    for parent in list(tmp_path.parents)[:-2]:
        parent.chmod(0o755)
    git.set_config("safe.directory", "*", user="user")
    git.clone(bare, f"{tmp_path}/of user", user="user")
    info = sandbox.files.get_info(f"{tmp_path}/of user/README.md")
    assert info.owner == "user"


def test_remotes(git, bare, work, tmp_path):
    assert git.remote_get(work, "origin") == bare
    assert git.remote_get(work, "other") is None
    git.remote_add(work, "other", "https://example.com/x.git")
    assert git.remote_get(work, "other") == "https://example.com/x.git"
    with pytest.raises(CommandExitException):
        git.remote_add(work, "other", "https://example.com/y.git")
    git.remote_add(work, "other", bare, overwrite=True, fetch=True)
    assert git.remote_get(work, "other") == bare
    assert log(work, ref="other/main") == ["First"]
    with pytest.raises(InvalidArgumentException):
        git.remote_add(work, "", bare)


def test_status(git, work):
    status = git.status(work)
    assert (status.current_branch, status.upstream) == ("main", "origin/main")
    assert (status.ahead, status.behind, status.is_clean) == (0, 0, True)
    write(f"{work}/README.md", "changed\n")
    write(f"{work}/new file", "new\n")
    write(f"{work}/staged", "staged\n")
    git.add(work, ["staged"])
    status = git.status(work)
    found = {entry.name.strip('"'): (entry.status, entry.staged) for entry in status.file_status}
    assert found == {
        "README.md": ("modified", False),
        "new file": ("untracked", False),
        "staged": ("added", True),
    }
    assert status.has_changes and status.has_staged and status.has_untracked
    git.add(work)
    git.commit(work, "Second", **AUTHOR)
    status = git.status(work)
    assert (status.ahead, status.is_clean) == (1, True)


def test_add_and_commit(git, work):
    for name in "-dash", "sp ace", "quo'te", "dou\"ble", "世界", "$HOME":
        write(f"{work}/{name}", name)
    git.add(work, ["sp ace", "quo'te"])
    assert git.status(work).staged_count == 2
    git.add(work, ["-dash", "世界", "$HOME", "dou\"ble"])
    message = "It's \"quoted\" $HOME `id`\n\nA body: 世界 🦊\n"
    git.commit(work, message, **AUTHOR)
    assert log(work, "%B")[:3] == message.splitlines()
    assert git.status(work).is_clean
    with pytest.raises(CommandExitException):
        git.commit(work, "Nothing", **AUTHOR)
    git.commit(work, "Empty", allow_empty=True, **AUTHOR)
    assert log(work)[0] == "Empty"


def test_branches(git, work):
    git.create_branch(work, "feature/世界")
    branches = git.branches(work)
    assert (branches.branches, branches.current_branch) == (["feature/世界", "main"], "feature/世界")
    git.commit(work, "On a branch", allow_empty=True, **AUTHOR)
    git.checkout_branch(work, "main")
    assert git.branches(work).current_branch == "main"
    with pytest.raises(CommandExitException):
        git.delete_branch(work, "feature/世界")
    git.delete_branch(work, "feature/世界", force=True)
    assert git.branches(work).branches == ["main"]
    with pytest.raises(CommandExitException):
        git.checkout_branch(work, "absent")


@pytest.mark.parametrize(
    "mode, text, staged",
    [("soft", "second\n", 1), ("mixed", "second\n", 0), ("hard", "first\n", 0)],
)
def test_reset(git, work, mode, text, staged):
    write(f"{work}/README.md", "second\n")
    git.add(work)
    git.commit(work, "Second", **AUTHOR)
    git.reset(work, mode=mode, target="HEAD~1")
    assert log(work) == ["First"]
    assert read(f"{work}/README.md") == text
    assert git.status(work).staged_count == staged


def test_reset_paths(git, work):
    for name in "a", "b":
        write(f"{work}/{name}", name)
    git.add(work)
    git.reset(work, paths=["a"])
    assert {e.name: e.staged for e in git.status(work).file_status} == {"a": False, "b": True}
    with pytest.raises(InvalidArgumentException):
        git.reset(work, mode="sideways")


def test_restore(git, work):
    write(f"{work}/README.md", "changed\n")
    git.add(work)
    git.restore(work, ["README.md"], staged=True)
    assert git.status(work).staged_count == 0
    assert read(f"{work}/README.md") == "changed\n"
    git.restore(work, ["README.md"])
    assert read(f"{work}/README.md") == "first\n"
    git.commit(work, "Second", allow_empty=True, **AUTHOR)
    write(f"{work}/README.md", "changed\n")
    git.restore(work, ["README.md"], staged=True, worktree=True, source="HEAD~1")
    assert git.status(work).is_clean
    with pytest.raises(InvalidArgumentException):
        git.restore(work, [])


def test_push_and_pull(git, bare, work, tmp_path):
    other = f"{tmp_path}/other"
    git.clone(bare, other)
    write(f"{other}/from other", "x\n")
    git.add(other)
    git.commit(other, "From the other", **AUTHOR)
    git.push(other)
    git.pull(work)
    assert read(f"{work}/from other") == "x\n"
    git.create_branch(work, "topic")
    with pytest.raises(GitUpstreamException):
        git.push(work)
    with pytest.raises(GitUpstreamException):
        git.pull(work)
    git.push(work, "origin", "topic", set_upstream=True)
    assert git.status(work).upstream == "origin/topic"
    assert log(bare, ref="topic")[0] == "From the other"
    git.pull(other, "origin", "topic")
    with pytest.raises(CommandExitException):
        git.push(work, "absent", "topic")
    with pytest.raises(InvalidArgumentException):
        git.push(work, password="secret")


def test_credentials_do_not_stay(git, bare, work):
    """They stand in the remote's URL only while git runs."""
    with pytest.raises(InvalidArgumentException):
        git.push(work, "origin", "main", username="me", password="secret")
    url = "https://localhost:1/x.git"
    git.remote_add(work, "web", url)
    with pytest.raises(CommandExitException):
        git.push(work, "web", "main", username="me", password="secret")
    assert git.remote_get(work, "web") == url
    assert "secret" not in read(f"{work}/.git/config")


def test_config(git, work):
    git.set_config("core.editor", "a 'strange' \"editor\" $x")
    assert git.get_config("core.editor") == "a 'strange' \"editor\" $x"
    git.set_config("core.editor", "local", scope="local", path=work)
    assert git.get_config("core.editor", scope="local", path=work) == "local"
    assert git.get_config("core.editor") != "local"
    assert git.get_config("no.such") is None
    git.configure_user("Ü. Ser", "user@example.com", user="user")
    assert git.get_config("user.name", user="user") == "Ü. Ser"
    assert git.get_config("user.email", user="user") == "user@example.com"
    assert git.get_config("user.name") is None
    git.configure_user("Local", "local@example.com", scope="local", path=work)
    git.commit(work, "As configured", allow_empty=True)
    assert log(work, "%an <%ae>")[0] == "Local <local@example.com>"
    with pytest.raises(InvalidArgumentException):
        git.set_config("x.y", "z", scope="local")
    with pytest.raises(InvalidArgumentException):
        git.configure_user("", "x")


def test_authenticate(git, sandbox):
    git.dangerously_authenticate("me", "p'ss w\"rd", host="git.example.com")
    stored = sandbox.files.read("~/.git-credentials")
    assert stored == "https://me:p%27ss%20w%22rd@git.example.com\n"
    assert git.get_config("credential.helper") == "store"
    with pytest.raises(InvalidArgumentException):
        git.dangerously_authenticate("me", "")


async def test_async(async_sandbox, tmp_path):
    """The asynchronous half has the same methods: one way through them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        git = async_sandbox.git
    bare, work = f"{tmp_path}/bare.git", f"{tmp_path}/work"
    await git.init(bare, bare=True, initial_branch="main")
    await git.clone(bare, work)
    await async_sandbox.files.write(f"{work}/f", "first\n")
    await git.add(work)
    await git.configure_user("Me", "me@example.com", scope="local", path=work)
    await git.commit(work, "First")
    await git.push(work, "origin", "main")
    assert log(bare) == ["First"]
    await git.create_branch(work, "topic")
    assert (await git.branches(work)).branches == ["main", "topic"]
    await git.checkout_branch(work, "main")
    await git.delete_branch(work, "topic")
    await async_sandbox.files.write(f"{work}/f", "changed\n")
    assert [e.status for e in (await git.status(work)).file_status] == ["modified"]
    await git.restore(work, ["f"])
    await git.commit(work, "Second", allow_empty=True)
    await git.reset(work, mode="hard", target="HEAD~1")
    await git.pull(work)
    assert (await git.status(work)).is_clean
    assert await git.remote_get(work, "origin") == bare
    assert await git.get_config("user.name", scope="local", path=work) == "Me"
