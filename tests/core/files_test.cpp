#include "mien/core/files.h"

#include <atomic>
#include <fstream>
#include <thread>

#include "core/expect_error.h"
#include "core/temporary_folder.h"
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mien/core/parallel.h"

namespace mien {
namespace {

const std::string kOld = "what was saved before";

TEST(ReadText, ReturnsEveryByte) {
  const TemporaryFolder folder;
  const std::string bytes = std::string("a\0b\r\n\xff", 6) + std::string(200'000, 'x');
  write_atomic(folder / "file", bytes);
  EXPECT_EQ(read_text(folder / "file"), bytes);
  EXPECT_EQ(MappedFile(folder / "file").text(), bytes);
  EXPECT_EQ(FileCopy(folder / "file").text(), bytes);
}

TEST(FileCopy, ReadByAnyNumberOfThreadsIsTheFile) {
  const TemporaryFolder folder;
  std::string bytes(9'000'001, '\0');
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(i * 2654435761U >> 13);
  write_atomic(folder / "file", bytes);
  for (const int count : {1, 2, 3}) {
    set_threads(count);
    EXPECT_EQ(FileCopy(folder / "file").text(), bytes) << count;
  }
  set_threads(0);
}

TEST(ReadText, SaysThatAFileIsMissing) {
  for (const auto& read : std::vector<std::function<void()>>{[] { read_text("/nowhere/train.csv"); },
                                                             [] { MappedFile("/nowhere/train.csv"); },
                                                             [] { FileCopy("/nowhere/train.csv"); }}) {
    EXPECT_TRUE(contains(error_line(ErrorCode::bad_data, read),
                         "cannot read /nowhere/train.csv: No such file or directory. hint: check the path"));
  }
}

TEST(ReadText, SaysThatADirectoryIsNotAFile) {
  const TemporaryFolder folder;
  EXPECT_TRUE(contains(error_line(ErrorCode::bad_data, [&] { read_text(folder.path()); }), "it is a directory"));
  EXPECT_TRUE(contains(error_line(ErrorCode::bad_data, [&] { MappedFile{folder.path()}; }), "it is a directory"));
  EXPECT_TRUE(contains(error_line(ErrorCode::bad_data, [&] { FileCopy{folder.path()}; }), "it is a directory"));
}

TEST(ReadText, RefusesAFileOverTheLimit) {
  const TemporaryFolder folder;
  write_atomic(folder / "file", "12345");
  EXPECT_EQ(read_text(folder / "file", 5), "12345");
  EXPECT_TRUE(contains(error_line(ErrorCode::bad_data, [&] { read_text(folder / "file", 4); }),
                       "it has 5 bytes, expected at most 4"));
}

TEST(ReadText, StopsAtTheLimitOfAnEndlessFile) {
  EXPECT_TRUE(
      contains(error_line(ErrorCode::bad_data, [] { read_text("/dev/zero", 1000); }), "it has more than 1000 bytes"));
}

TEST(MappedFile, OfAnEmptyFileIsEmpty) {
  const TemporaryFolder folder;
  write_atomic(folder / "file", "");
  EXPECT_TRUE(MappedFile(folder / "file").text().empty());
  EXPECT_TRUE(FileCopy(folder / "file").text().empty());
}

TEST(MappedFile, ReadsAPipeToItsEnd) {
  const TemporaryFolder folder;
  const auto pipe = folder / "pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  const std::string bytes(300'000, 'p');
  const auto write = [&] { std::ofstream(pipe) << bytes; };
  {
    const std::jthread writer(write);
    EXPECT_EQ(MappedFile(pipe).text(), bytes);
  }
  const std::jthread writer(write);
  EXPECT_EQ(FileCopy(pipe).text(), bytes);
}

TEST(WriteAtomic, CreatesMissingFoldersAndLeavesNothingElse) {
  const TemporaryFolder folder;
  write_atomic(folder / "a/b/file", "text");
  EXPECT_EQ(read_text(folder / "a/b/file"), "text");
  EXPECT_EQ(folder.entries(), 1u);
  write_atomic(folder / "a/b/file", "shorter");
  EXPECT_EQ(read_text(folder / "a/b/file"), "shorter");
}

TEST(WriteAtomic, KeepsTheOldFileWhenTheDiskIsFull) {
  const TemporaryFolder folder;
  write_atomic(folder / "file", kOld);
  const FileSizeLimit full(4096);
  const std::string line =
      error_line(ErrorCode::failed, [&] { write_atomic(folder / "file", std::string(10'000, 'n')); });
  EXPECT_TRUE(contains(line, "cannot write " + (folder / "file").string()));
  EXPECT_TRUE(contains(line, "hint: free some space"));
  EXPECT_EQ(read_text(folder / "file"), kOld);
  EXPECT_EQ(folder.entries(), 1u);
}

TEST(WriteAtomic, ReportsADeviceWithoutSpace) {
  const TemporaryFolder folder;
  const auto device = folder / "full";  // a /dev/full of our own: a mistake must not replace the machine's
  if (::mknod(device.c_str(), S_IFCHR | 0600, ::makedev(1, 7)) != 0 || ::access(device.c_str(), W_OK) != 0) {
    GTEST_SKIP() << "making devices is not allowed here";
  }
  EXPECT_TRUE(contains(error_line(ErrorCode::failed, [&] { write_atomic(device, "text"); }),
                       "cannot write " + device.string() + ": No space left on device. hint: free some space"));
  EXPECT_TRUE(std::filesystem::is_character_file(device));
}

TEST(WriteAtomic, WritesIntoADeviceInsteadOfReplacingIt) {
  const TemporaryFolder folder;
  const auto pipe = folder / "pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  std::string received;
  {
    const std::jthread reader([&] { received = read_text(pipe); });
    write_atomic(pipe, "text");
  }
  EXPECT_EQ(received, "text");
  EXPECT_TRUE(std::filesystem::is_fifo(pipe));
}

TEST(WriteAtomic, ReplacesTheFileALinkPointsTo) {
  const TemporaryFolder folder;
  write_atomic(folder / "file", kOld);
  std::filesystem::create_symlink("file", folder / "link");
  write_atomic(folder / "link", "new");
  EXPECT_TRUE(std::filesystem::is_symlink(folder / "link"));
  EXPECT_EQ(read_text(folder / "file"), "new");
}

TEST(WriteAtomic, KeepsTheOldFileWhenItsContentCannotBeMade) {
  const TemporaryFolder folder;
  write_atomic(folder / "file", kOld);
  EXPECT_THROW(write_atomic(folder / "file",
                            [](const auto& sink) {
                              sink("half");
                              throw std::runtime_error("the other half is missing");
                            }),
               std::runtime_error);
  EXPECT_EQ(read_text(folder / "file"), kOld);
  EXPECT_EQ(folder.entries(), 1u);
}

TEST(WriteAtomic, KeepsTheOldFileWhenTheProgramIsKilledHalfway) {
  const TemporaryFolder folder;
  write_atomic(folder / "file", kOld);
  const pid_t child = ::fork();
  if (child == 0) {
    write_atomic(folder / "file", [](const auto& sink) {
      sink(std::string(100'000, 'n'));
      ::kill(::getpid(), SIGKILL);
    });
    ::_exit(0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(read_text(folder / "file"), kOld);
}

TEST(WriteAtomic, OfTwoThreadsLeavesOneWholeFile) {
  const TemporaryFolder folder;
  const auto path = folder / "file";
  {
    std::vector<std::jthread> writers;
    for (const char letter : {'a', 'b', 'c', 'd'}) {
      writers.emplace_back([&path, letter] {
        for (int i = 0; i < 5; ++i) write_atomic(path, std::string(50'000, letter));
      });
    }
  }
  const std::string text = read_text(path);
  EXPECT_EQ(text, std::string(50'000, text[0]));
  EXPECT_EQ(folder.entries(), 1u);
}

TEST(WriteAtomic, SaysWhyAPlaceCannotBeWritten) {
  const TemporaryFolder folder;
  EXPECT_TRUE(contains(error_line(ErrorCode::failed, [&] { write_atomic(folder.path(), "x"); }), "Is a directory"));
  write_atomic(folder / "file", kOld);
  EXPECT_TRUE(contains(error_line(ErrorCode::failed, [&] { write_atomic(folder / "file/below", "x"); }),
                       "Not a directory. hint: check that the folder exists"));
  EXPECT_EQ(read_text(folder / "file"), kOld);
}

TEST(CheckOutput, RefusesToReplaceAnInputUnderAnyName) {
  const TemporaryFolder folder;
  write_atomic(folder / "in/data.csv", kOld);
  std::filesystem::create_symlink(folder / "in/data.csv", folder / "link.csv");
  const std::vector<std::filesystem::path> inputs{folder / "absent", folder / "in/data.csv"};
  for (const auto& output : {folder / "in/data.csv", folder / "in/../in/./data.csv", folder / "link.csv"}) {
    const std::string line = error_line(ErrorCode::usage, [&] { check_output(output, inputs, "--out"); });
    EXPECT_TRUE(contains(line, "--out: " + output.string() + " is read by this command")) << line;
  }
  check_output(folder / "new/folder/out.csv", inputs, "--out");
  check_output("/dev/null", std::vector<std::filesystem::path>{"/dev/null"}, "--out");  // replaced by nobody
  EXPECT_FALSE(std::filesystem::exists(folder / "new")) << "a check makes nothing";
}

TEST(CheckOutput, SaysBeforehandWhyAPlaceCannotBeWritten) {
  const TemporaryFolder folder;
  write_atomic(folder / "file", kOld);
  EXPECT_TRUE(contains(error_line(ErrorCode::failed, [&] { check_output(folder / "file/out.csv", {}, "--out"); }),
                       "Not a directory"));
  EXPECT_TRUE(contains(error_line(ErrorCode::failed, [&] { check_output_folder(folder / "file", "--project"); }),
                       "--project: cannot write into"));
  EXPECT_TRUE(
      contains(error_line(ErrorCode::failed, [&] { check_output(folder.path(), {}, "--out"); }), "is a folder"));
}

TEST(WriteAtomic, NamesTheReasonWhyItsFolderCannotBeMade) {
  const TemporaryFolder folder;
  write_atomic(folder / "file", kOld);
  EXPECT_TRUE(
      contains(error_line(ErrorCode::failed, [&] { write_atomic(folder / "file/sub/out", "x"); }), "Not a directory"));
}

TEST(RemovePartialFiles, SweepsWhatKilledWritersLeftAndNothingElse) {
  const TemporaryFolder folder;
  const char* const kept[] = {"run.json", "a/thesis.partial", "a/x.1-.partial", "partial", "a/x.12-3.partial.txt"};
  const char* const swept[] = {"run.json.1-0.partial", "weights/best.safetensors.4711-12.partial"};
  for (const char* name : kept) write_atomic(folder / name, kOld);
  for (const char* name : swept) write_atomic(folder / name, kOld);
  remove_partial_files(folder.path());
  for (const char* name : kept) EXPECT_TRUE(std::filesystem::exists(folder / name)) << name;
  for (const char* name : swept) EXPECT_FALSE(std::filesystem::exists(folder / name)) << name;
}

}  // namespace
}  // namespace mien
