@echo off
rem psm from a checkout, as run.sh does it: run.bat test, run.bat demo, run.bat scan D:\Music.
rem The variable PYTHON chooses the Python; otherwise the first one that is 3.11 or newer.
rem No command stands in a block of parentheses: an argument such as "Music (old)" would end the block.
setlocal EnableExtensions DisableDelayedExpansion

set "RUN_TOOLS=%~dp0tools"
set "RUN_VENV=%~dp0.venv\Scripts"
set "RUN_STAGE=run"
if "%~1"=="test" set "RUN_STAGE=test"

if defined PYTHON goto find
if not exist "%RUN_VENV%\psm.exe" goto find
"%RUN_VENV%\python.exe" -I -S "%RUN_TOOLS%\set_up.py" --check %RUN_STAGE% >nul 2>nul
if not errorlevel 1 goto start

:find
set "RUN_CHECK=import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))"
if defined PYTHON goto find_given
py -3 -c "%RUN_CHECK%" >nul 2>nul
if not errorlevel 1 goto set_up_launcher
python -c "%RUN_CHECK%" >nul 2>nul
if not errorlevel 1 goto set_up_python
python3 -c "%RUN_CHECK%" >nul 2>nul
if not errorlevel 1 goto set_up_python3
>&2 echo psm needs Python 3.11 or newer, and there is none here: install it from https://www.python.org/downloads/ or set PYTHON to its path.
exit /b 1

:find_given
"%PYTHON%" -c "%RUN_CHECK%" >nul 2>nul
if not errorlevel 1 goto set_up_given
>&2 echo psm needs Python 3.11 or newer, and PYTHON is "%PYTHON%", which is not one.
exit /b 1

:set_up_given
"%PYTHON%" "%RUN_TOOLS%\set_up.py" %RUN_STAGE%
goto set_up_done
:set_up_launcher
py -3 "%RUN_TOOLS%\set_up.py" %RUN_STAGE%
goto set_up_done
:set_up_python
python "%RUN_TOOLS%\set_up.py" %RUN_STAGE%
goto set_up_done
:set_up_python3
python3 "%RUN_TOOLS%\set_up.py" %RUN_STAGE%
:set_up_done
if errorlevel 1 exit /b 1

:start
if "%RUN_STAGE%"=="test" goto start_tests
rem For the commands that psm suggests to type next.
set "PSM_COMMAND=%~0"
"%RUN_VENV%\psm.exe" %*
exit /b %ERRORLEVEL%

:start_tests
"%RUN_VENV%\python.exe" "%RUN_TOOLS%\run_tests.py" %*
exit /b %ERRORLEVEL%
