/// The pool: every item once, from any number of callers, nested, and in a forked child.
#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "cpu/parallel.h"

#if defined(__unix__)
#include <sys/wait.h>
#include <unistd.h>
#endif

namespace camfast::cpu {
namespace {

bool each_item_once(std::int64_t items, int threads) {
    std::vector<std::atomic<int>> seen(static_cast<std::size_t>(items));
    parallel_for(items, threads, [&](std::int64_t item) { ++seen[static_cast<std::size_t>(item)]; });
    for (const auto& count : seen)
        if (count != 1) return false;
    return true;
}

TEST(Parallel, EachItemOnce) {
    for (const int threads : {0, 1, 2, 3, 7, 40})
        for (const std::int64_t items : {0, 1, 2, 5, 1000}) EXPECT_TRUE(each_item_once(items, threads));
}

TEST(Parallel, ManyShortLoops) {
    for (int i = 0; i < 500; ++i) ASSERT_TRUE(each_item_once(16, 1 + i % 5));
}

TEST(Parallel, CallersAtTheSameTime) {
    std::vector<std::thread> callers;
    std::atomic<int> failures{0};
    for (int i = 0; i < 8; ++i)
        callers.emplace_back([&] {
            for (int j = 0; j < 50; ++j) failures += !each_item_once(50, 4);
        });
    for (auto& caller : callers) caller.join();
    EXPECT_EQ(failures, 0);
}

TEST(Parallel, Nested) {
    std::atomic<int> failures{0};
    parallel_for(20, 4, [&](std::int64_t) { failures += !each_item_once(50, 4); });
    EXPECT_EQ(failures, 0);
}

thread_local int number_in_team = 0;
std::atomic<int> team_calls{0};

/// A team that has one thread fewer than it is asked for.
void small_team(void (*body)(void*), void* data, unsigned threads, unsigned) {
    ++team_calls;
    std::vector<std::thread> others;
    for (unsigned i = 1; i + 1 < threads; ++i)
        others.emplace_back([=] {
            number_in_team = static_cast<int>(i);
            body(data);
        });
    body(data);
    for (auto& other : others) other.join();
}

TEST(Parallel, OnAnotherTeam) {
    use_team({small_team, [] { return number_in_team; }});
    for (const int threads : {2, 3, 7, 100}) EXPECT_TRUE(each_item_once(1000, threads)) << threads;
    EXPECT_EQ(team_calls, 4);
    std::atomic<int> failures{0};
    parallel_for(20, 4, [&](std::int64_t) { failures += !each_item_once(50, 4); });
    EXPECT_EQ(failures, 0);
    use_team({});
    const int before = team_calls;
    EXPECT_TRUE(each_item_once(1000, 4));
    EXPECT_EQ(team_calls, before);
}

#if defined(__unix__) && !defined(__SANITIZE_THREAD__)
TEST(Parallel, AForkedChildLeavesTheTeam) {
    use_team({small_team, [] { return number_in_team; }});
    const int before = team_calls;
    const pid_t child = fork();
    if (child == 0) _exit(each_item_once(1000, 4) && team_calls == before ? 0 : 1);
    int status = -1;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    use_team({});
}

TEST(Parallel, AForkedChildStartsItsOwnThreads) {
    ASSERT_TRUE(each_item_once(1000, 4));
    const pid_t child = fork();
    if (child == 0) _exit(each_item_once(1000, 4) && each_item_once(1000, 4) ? 0 : 1);
    int status = -1;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    EXPECT_TRUE(each_item_once(1000, 4));
}
#endif

}  // namespace
}  // namespace camfast::cpu
