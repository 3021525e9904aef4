"""no_grad and enable_grad as decorators of generators and coroutines: off while they run."""

import asyncio
import inspect

import pytest

import minigen as mg

DECORATORS = {"no_grad": (mg.no_grad, False), "no_grad()": (mg.no_grad(), False)}
DECORATORS |= {"enable_grad": (mg.enable_grad, True)}
each_decorator = pytest.mark.parametrize("name", DECORATORS)


@each_decorator
def test_a_generator_runs_in_its_mode_and_its_caller_in_the_callers(name):
    decorator, mode = DECORATORS[name]
    seen = []

    @decorator
    def halves(x):
        """Halves of x."""
        try:
            while True:
                seen.append(mg.is_grad_enabled())
                x = x / 2
                sent = yield x
                x = x if sent is None else sent
        except ZeroDivisionError:
            seen.append(mg.is_grad_enabled())
            yield "caught"
        finally:
            seen.append(mg.is_grad_enabled())
        return "end"

    assert inspect.isgeneratorfunction(halves)
    assert halves.__doc__ == "Halves of x."
    for outer in (mg.enable_grad, mg.no_grad):
        with outer():
            before, x = mg.is_grad_enabled(), mg.ones(2, requires_grad=True)
            iterator = halves(x)
            first = next(iterator)
            assert first.requires_grad == mode
            assert mg.is_grad_enabled() == before
            assert iterator.send(8 * x).data.tolist() == [4, 4]
            assert iterator.throw(ZeroDivisionError()) == "caught"
            assert mg.is_grad_enabled() == before
            with pytest.raises(StopIteration) as stop:
                next(iterator)
            assert stop.value.value == "end"
            closed = halves(x)
            next(closed)
            closed.close()
            assert mg.is_grad_enabled() == before
    assert seen == [mode] * len(seen)


@each_decorator
def test_a_generator_that_is_left_does_not_change_the_mode(name):
    decorator, mode = DECORATORS[name]

    @decorator
    def fails():
        yield mg.is_grad_enabled()
        raise LookupError

    one, other = fails(), fails()
    assert [next(one), next(other)] == [mode, mode]
    with pytest.raises(LookupError):
        next(one)
    del other
    assert mg.is_grad_enabled()


@each_decorator
def test_a_coroutine_runs_in_its_mode_and_others_between_in_theirs(name):
    decorator, mode = DECORATORS[name]
    modes = []

    @decorator
    async def slow():
        modes.append(mg.is_grad_enabled())
        await asyncio.sleep(0)
        modes.append(mg.is_grad_enabled())
        return 7

    async def other():
        assert mg.is_grad_enabled()
        await asyncio.sleep(0)
        assert mg.is_grad_enabled()

    async def main():
        found = await asyncio.gather(slow(), other(), slow())
        assert mg.is_grad_enabled()
        return found

    assert inspect.iscoroutinefunction(slow)
    assert asyncio.run(main()) == [7, None, 7]
    assert modes == [mode] * 4


@each_decorator
def test_an_async_generator_is_refused_with_the_remedy(name):
    async def numbers():
        yield 1

    with pytest.raises(TypeError, match="numbers, an async generator; use it as a context manager"):
        DECORATORS[name][0](numbers)
