// Attacks on the built program while it writes: torture PROGRAM SHIM SECONDS [SEED]. After each attack the same command
// is started again; the outcome must be that of a run that nobody disturbed, to the bit, or have been refused in one
// clear line. Prints a row of docs/reliability.md's table for each attack, and returns 1 if anything was lost.
#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <random>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;
using Words = std::vector<std::string>;

std::string g_program, g_shim;
fs::path g_folder;

std::string contents(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

void write_text(const fs::path& path, const std::string& text) { std::ofstream(path, std::ios::binary) << text; }

struct Ended {
  int status = 0;  ///< exit status, or 128 + the signal that ended it
  std::string err;
  double seconds = 0;
};

/// One start of the program in g_folder.
class Process {
 public:
  explicit Process(const Words& words, const Words& variables = {}) : start_(Clock::now()) {
    static int count = 0;
    err_ = g_folder / ("stderr" + std::to_string(count++ % 8));
    std::vector<char*> arguments{g_program.data()};
    Words all = words;
    for (std::string& word : all) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    Words environment{"MIEN_PICTURES=off", "OMP_NUM_THREADS=1", "HOME=" + g_folder.string(), "PATH=/usr/bin:/bin"};
    environment.insert(environment.end(), variables.begin(), variables.end());
    std::vector<char*> pointers;
    for (std::string& variable : environment) pointers.push_back(variable.data());
    pointers.push_back(nullptr);
    pid_ = ::fork();
    if (pid_ != 0) return;
    if (::chdir(g_folder.c_str()) != 0) ::_exit(126);
    ::dup2(::open("/dev/null", O_RDWR), STDIN_FILENO);
    ::dup2(STDIN_FILENO, STDOUT_FILENO);
    ::dup2(::open(err_.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644), STDERR_FILENO);
    ::execve(g_program.c_str(), arguments.data(), pointers.data());
    ::_exit(127);
  }
  void kill() const { ::kill(pid_, SIGKILL); }
  Ended wait() {
    int status = 0;
    ::waitpid(pid_, &status, 0);
    return {.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status),
            .err = contents(err_),
            .seconds = std::chrono::duration<double>(Clock::now() - start_).count()};
  }

 private:
  pid_t pid_;
  fs::path err_;
  Clock::time_point start_;
};

Ended run(const Words& words, const Words& variables = {}) { return Process(words, variables).wait(); }

/// What must be the same: weights, predictions, tables of outcomes; by path below `folder`.
std::map<std::string, std::string> outcome_of(const fs::path& folder) {
  std::map<std::string, std::string> files;
  std::error_code error;
  for (fs::recursive_directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    const std::string name = at->path().filename().string();
    const bool counts = name.ends_with(".safetensors") && name != "state.safetensors";
    if (counts || name.starts_with("predictions_") || name == "votes.json" || name.ends_with(".partial"))
      files[fs::relative(at->path(), folder).string()] = contents(at->path());
  }
  return files;
}

/// One kind of work: the words of its command and the folder that it fills, both by a name.
struct Work {
  std::string name;
  std::function<Words(const std::string& name)> words;
  std::function<fs::path(const std::string& name)> folder;
  std::function<void(const std::string& name)> prepare = [](const std::string&) {};
  std::map<std::string, std::string> wanted = {};
  double seconds = 0;
};

struct Score {
  int tries = 0;
  int refusals = 0;  ///< ended by one clear line, and whole at the next start
  int losses = 0;
};

void lose(Score& score, const std::string& what) {
  ++score.losses;
  std::fprintf(stderr, "LOST: %s\n", what.c_str());
}

/// Exit statuses of errors come with one line.
bool is_one_line(const Ended& ended) {
  return ended.status > 0 && ended.status < 128 && ended.err.rfind("mien: ") != std::string::npos &&
         ended.err.ends_with('\n');
}

/// The command again, until it is done; then its outcome is looked at.
void check_outcome(const Work& work, const std::string& name, Score& score, const std::string& attack) {
  const Ended again = run(work.words(name));
  if (again.status != 0)
    return lose(score, attack + ": the next start ends with " + std::to_string(again.status) + ": " + again.err);
  const auto found = outcome_of(work.folder(name));
  if (found == work.wanted) return;
  std::string what = attack + ": another outcome:";
  for (const auto& [file, text] : work.wanted) {
    if (found.count(file) == 0) what += " " + file + " is missing";
    if (found.count(file) != 0 && found.at(file) != text) what += " " + file + " differs";
  }
  for (const auto& [file, text] : found) {
    if (work.wanted.count(file) == 0) what += " " + file + " is left";
  }
  lose(score, what);
}

void kill_at_random(Work& work, std::mt19937& random, const std::string& name, Score& score) {
  work.prepare(name);
  const int kills = 1 + static_cast<int>(random() % 3);
  for (int i = 0; i < kills; ++i) {
    Process process(work.words(name));
    std::this_thread::sleep_for(
        std::chrono::duration<double>(work.seconds * static_cast<double>(random() % 1000) / 1000));
    process.kill();
    process.wait();
    ++score.tries;
  }
  check_outcome(work, name, score, work.name + " killed");
}

void fail_at_random(Work& work, std::mt19937& random, const std::string& name, int error, Score& score) {
  work.prepare(name);
  const long at = 1 + static_cast<long>(random() % 160);
  const Ended ended =
      run(work.words(name),
          {"LD_PRELOAD=" + g_shim, "MIEN_FAIL_AT=" + std::to_string(at), "MIEN_FAIL_WITH=" + std::to_string(error)});
  ++score.tries;
  const std::string attack = work.name + " with error " + std::to_string(error) + " at operation " + std::to_string(at);
  if (ended.status != 0 && !is_one_line(ended))
    return lose(score, attack + ": ends with " + std::to_string(ended.status) + ": " + ended.err);
  if (ended.status != 0 && error == EINTR) return lose(score, attack + ": an interruption is no error: " + ended.err);
  score.refusals += ended.status != 0 ? 1 : 0;
  if (ended.status == 0 && outcome_of(work.folder(name)) == work.wanted) return;  // it went on
  check_outcome(work, name, score, attack);
}

void start_twice(Work& work, std::mt19937&, const std::string& name, Score& score) {
  work.prepare(name);
  Process first(work.words(name));
  Process second(work.words(name));
  const Ended one = first.wait();
  const Ended two = second.wait();
  ++score.tries;
  for (const Ended* ended : {&one, &two}) {
    if (ended->status == 0) continue;
    if (!is_one_line(*ended)) return lose(score, work.name + " twice: " + ended->err);
    ++score.refusals;
  }
  if (one.status != 0 && two.status != 0) return check_outcome(work, name, score, work.name + " twice");
  if (outcome_of(work.folder(name)) != work.wanted) lose(score, work.name + " twice: another outcome");
}

void change_data(Work& work, std::mt19937& random, const std::string& name, Score& score) {
  work.prepare(name);
  const std::string whole = contents(g_folder / "faces.csv");
  Process process(work.words(name));
  std::this_thread::sleep_for(
      std::chrono::duration<double>(work.seconds * static_cast<double>(random() % 1000) / 1000));
  write_text(g_folder / "faces.csv", whole.substr(0, random() % whole.size()));
  const Ended ended = process.wait();
  write_text(g_folder / "faces.csv", whole);
  ++score.tries;
  const std::string attack = work.name + " whose data change";
  if (ended.status != 0 && !is_one_line(ended)) return lose(score, attack + ": " + ended.err);
  score.refusals += ended.status != 0 ? 1 : 0;
  if (ended.status == 0 && outcome_of(work.folder(name)) != work.wanted) {
    // Read after the change: then it is the run of other data, and says so by another checksum.
    if (contents(work.folder(name) / "run.json").find("\"finished\"") == std::string::npos)
      lose(score, attack + ": unfinished");
    return;
  }
  if (ended.status != 0) check_outcome(work, name, score, attack);
}

std::vector<Work> works() {
  const auto train = [](const std::string& name, const Words& more) {
    Words words{"train",
                "--network",
                "small.toml",
                "--data",
                "faces.csv",
                "--validation",
                "fraction:0.2",
                "--epochs",
                "3",
                "--batch-size",
                "16",
                "--threads",
                "1",
                "--flip",
                "0.5",
                "--name",
                name};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  };
  const auto in_train = [](const std::string& name) { return g_folder / "runs" / "train" / name; };
  std::vector<Work> all;
  all.push_back({"training", [=](const std::string& name) { return train(name, {}); }, in_train});
  all.push_back({"ensemble",
                 [=](const std::string& name) {
                   return train(name, {"--members", "2", "--epochs", "1"});
                 },
                 in_train});
  all.push_back({"sweep",
                 [](const std::string& name) {
                   return Words{"sweep", name + ".toml"};
                 },
                 [](const std::string& name) { return g_folder / "runs" / "sweep" / name; },
                 [](const std::string& name) { fs::copy_file(g_folder / "sweep.toml", g_folder / (name + ".toml")); }});
  all.push_back(
      {"recipe",
       [](const std::string& name) {
         return Words{
             "run", "recipe.toml", "--data", "faces.csv", "--threads", "1", "--project", "runs/recipe", "--name", name};
       },
       [](const std::string& name) { return g_folder / "runs" / "recipe" / name; }});
  // Shards that one process has trained, under the name that the merged run will have.
  all.push_back({"merge",
                 [](const std::string& name) {
                   const std::string shard = "runs/train/" + name + ".shard-";
                   return Words{"merge", shard + "1-of-2", shard + "2-of-2"};
                 },
                 in_train,
                 [=](const std::string& name) {
                   for (const char* shard : {"1/2", "2/2"})
                     run(train(name, {"--members", "2", "--epochs", "1", "--shard", shard}));
                 }});
  return all;
}

void write_inputs() {
  write_text(
      g_folder / "small.toml",
      "name = \"small\"\ninput = [1, 48, 48]\nlayers = [\n  { conv = 4, kernel = 3, padding = \"same\", stride = 4 }, "
      "\"relu\", \"batch_norm\", { dropout = 0.2 }, \"flatten\", { dense = 7 },\n]\n");
  write_text(g_folder / "sweep.toml",
             "[options]\nnetwork = \"small.toml\"\ndata = \"faces.csv\"\nvalidation = \"fraction:0.2\"\nepochs = "
             "1\nthreads = 1\n"
             "[values]\nlr = [0.001, 0.002]\n");
  write_text(g_folder / "recipe.toml",
             "title = \"two\"\nsource = \"torture\"\ndescription = \"Two short runs.\"\n[split]\nvalidation = "
             "\"fraction:0.2\"\n"
             "[train]\nepochs = 1\n[[run]]\nname = \"a\"\nnetwork = \"small.toml\"\n"
             "[[run]]\nname = \"b\"\nnetwork = \"small.toml\"\nlr = 0.002\n");
  run({"data", "draw", "drawn", "--draw-count", "84"});
  fs::copy_file(g_folder / "drawn" / "faces.csv", g_folder / "faces.csv");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) {
    std::fprintf(stderr, "torture PROGRAM SHIM SECONDS [SEED]\n");
    return 2;
  }
  g_program = argv[1];
  g_shim = argv[2];
  const double seconds = std::atof(argv[3]);
  const unsigned seed = argc > 4 ? static_cast<unsigned>(std::atoi(argv[4])) : std::random_device{}();
  std::string pattern = (fs::temp_directory_path() / "mien-torture-XXXXXX").string();
  g_folder = ::mkdtemp(pattern.data());
  std::mt19937 random(seed);
  std::printf("seed %u, in %s\n", seed, g_folder.c_str());
  write_inputs();
  std::vector<Work> all = works();
  for (Work& work : all) {
    work.prepare("whole");
    const Ended ended = run(work.words("whole"));
    work.wanted = outcome_of(work.folder("whole"));
    work.seconds = ended.seconds;
    if (ended.status != 0 || work.wanted.empty()) {
      std::fprintf(stderr, "torture: %s does not even work undisturbed: %s\n", work.name.c_str(), ended.err.c_str());
      return 1;
    }
    fs::remove_all(work.folder("whole"));
    fs::remove(g_folder / "whole.toml");
  }
  using Attack = std::function<void(Work&, const std::string&, Score&)>;
  const std::vector<std::pair<std::string, Attack>> attacks{
      {"kill -9 at a random moment", [&](Work& w, const std::string& n, Score& s) { kill_at_random(w, random, n, s); }},
      {"disk full (ENOSPC) at a random operation",
       [&](Work& w, const std::string& n, Score& s) { fail_at_random(w, random, n, ENOSPC, s); }},
      {"EIO at a random operation",
       [&](Work& w, const std::string& n, Score& s) { fail_at_random(w, random, n, EIO, s); }},
      {"EINTR at a random operation",
       [&](Work& w, const std::string& n, Score& s) { fail_at_random(w, random, n, EINTR, s); }},
      {"two processes at once", [&](Work& w, const std::string& n, Score& s) { start_twice(w, random, n, s); }},
      {"data file cut while it is used",
       [&](Work& w, const std::string& n, Score& s) { change_data(w, random, n, s); }}};
  std::map<std::string, Score> scores;
  int losses = 0;
  const auto end = Clock::now() + std::chrono::duration<double>(seconds);
  for (int round = 0; Clock::now() < end; ++round) {
    for (const auto& [attack, carry_out] : attacks) {
      for (Work& work : all) {
        if (Clock::now() >= end) break;
        const std::string name = "n" + std::to_string(round) + "-" + std::to_string(&attack - &attacks.front().first);
        Score& score = scores[attack + " | " + work.name];
        const int before = score.losses;
        carry_out(work, name, score);
        losses += score.losses - before;
        if (score.losses == before) {
          std::error_code ignored;
          for (const char* project : {"train", "sweep", "recipe"}) fs::remove_all(g_folder / "runs" / project, ignored);
        }
        fs::remove(g_folder / (name + ".toml"));
      }
    }
  }
  std::printf("| attack | work | tries | refused in one line | lost |\n|---|---|---|---|---|\n");
  for (const auto& [what, score] : scores)
    std::printf("| %s | %d | %d | %d |\n", what.c_str(), score.tries, score.refusals, score.losses);
  if (losses == 0) fs::remove_all(g_folder);
  return losses == 0 ? 0 : 1;
}
